-- Every hour of `fct_hourly_detections` lies in one hour and one day of the zone of the reports.
select hour_started_at
from {{ ref('fct_hourly_detections') }}
where extract(minute from hour_started_at at time zone {{ report_timezone() }}) <> 0
