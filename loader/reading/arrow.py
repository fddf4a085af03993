"""Arrow as the readers use it, without types.

The published stubs of pyarrow are stricter than pyarrow itself (they refuse, among others, an
index array as the argument of ``take`` and a scalar as the argument of ``less``), so here its
modules and arrays are ``Any``. What leaves the readers, `EventBatch`, is typed.
"""

from typing import Any, TypeAlias

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.json

Array: TypeAlias = Any
RecordBatch: TypeAlias = Any
Schema: TypeAlias = Any
DataType: TypeAlias = Any
Table: TypeAlias = Any

pa: Any = pyarrow
pc: Any = pyarrow.compute
arrow_csv: Any = pyarrow.csv
arrow_json: Any = pyarrow.json
ArrowError = pyarrow.ArrowException
InvalidError = pyarrow.ArrowInvalid
