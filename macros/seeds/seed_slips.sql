{% macro seed_rows(agate_table) %}
    {%- set found, at = [], namespace(line=2) -%}
    {%- for row in agate_table.rows -%}
        {%- set values, line = {}, at.line -%}
        {%- for name in agate_table.column_names -%}
            {%- set value = '' if row[name] is none else row[name] | string -%}
            {%- do values.update({name: value}) -%}
            {%- set at.line = at.line + value.count('\n') -%}
        {%- endfor -%}
        {#- A line of nothing, or of nothing but commas, is none. -#}
        {%- if row.values() | reject('none') | list -%}
            {%- do found.append([line, values]) -%}
        {%- endif -%}
        {%- set at.line = at.line + 1 -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{% macro seed_slips(slips, seed, header, rows, categories=none) %}
    {#-
        The loader reads the same files before dbt does: loader/alerting/rules.py has these rules as well,
        and a test gives both the same files. Plain Jinja, so that it needs no dbt.
    -#}
    {%- set needed = {
        'event_types': ['event_type', 'category'],
        'alert_rules': ['rule_name', 'kind', 'category', 'threshold', 'min_duration'],
        'categories': ['category', 'activity_gap', 'is_alerted', 'colour'],
    }[seed] -%}
    {%- set missing = [] -%}
    {%- for name in needed if name not in header -%}
        {%- do missing.append(name) -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- do slips.append('it needs the columns ' ~ needed | join(', ') ~ '; it has ' ~ (header | join(', ') or 'none')) -%}
    {%- else -%}
    {%- set optional = ['threshold', 'min_duration', 'activity_gap', 'is_alerted', 'colour'] -%}
    {%- set keys, spellings = {}, {} -%}
    {%- for line, row in rows -%}
        {%- set key = row[needed[0]] -%}
        {%- set at = 'line ' ~ line ~ (', ' ~ key if key and seed == 'alert_rules' else '') ~ ', ' -%}
        {%- for name in needed -%}
            {%- if row[name] != row[name] | trim -%}
                {%- do slips.append(at ~ name ~ ': "' ~ row[name] ~ '" has blanks around it; take them away') -%}
            {%- elif not row[name] and name not in optional -%}
                {%- do slips.append(at ~ name ~ ': it is empty') -%}
            {%- endif -%}
        {%- endfor -%}
        {#- Types are as the detectors write them, Car and car: two. Names of rules are ours. -#}
        {%- set same = key if seed == 'event_types' else key | lower -%}
        {%- if key and same in keys -%}
            {%- do slips.append(at ~ needed[0] ~ ': "' ~ key ~ '" is on line ' ~ keys[same] ~ ' already; keep one of the two') -%}
        {%- endif -%}
        {%- do keys.setdefault(same, line) -%}
        {%- if seed != 'event_types' and row['category'] and row['category'] | trim == row['category'] and categories is not none and row['category'] not in categories -%}
            {%- do slips.append(at ~ 'category: "' ~ row['category'] ~ '" is no category of event_types.csv, which has ' ~ categories | join(', ')) -%}
        {%- endif -%}
        {%- if seed == 'categories' -%}
            {%- if row['activity_gap'] and not _is_duration(row['activity_gap']) -%}
                {%- do slips.append(at ~ 'activity_gap: it is a duration of no more than 3650 days, such as 30 seconds or 1 hour 30 minutes, or empty, and not "' ~ row['activity_gap'] ~ '"') -%}
            {%- endif -%}
            {%- if row['is_alerted'] | lower not in ['', 'true', 'false'] -%}
                {%- do slips.append(at ~ 'is_alerted: it is true, false or empty, and not "' ~ row['is_alerted'] ~ '"') -%}
            {%- endif -%}
        {%- elif seed == 'event_types' -%}
            {%- set first = spellings.setdefault(row['category'] | lower, [line, row['category']]) -%}
            {%- if first[1] != row['category'] and row['category'] | trim == row['category'] -%}
                {%- do slips.append(at ~ 'category: "' ~ row['category'] ~ '" is "' ~ first[1] ~ '" on line ' ~ first[0] ~ '; write both the same way') -%}
            {%- endif -%}
        {%- else -%}
            {%- if row['kind'] == 'consecutive' -%}
                {%- if not modules.re.fullmatch('0*[1-9][0-9]{0,6}', row['threshold']) or row['threshold'] | int > 1000000 -%}
                    {%- do slips.append(at ~ 'threshold: a consecutive rule needs a whole number from 1 to 1000000, such as 5, and has "' ~ row['threshold'] ~ '"') -%}
                {%- endif -%}
                {%- if row['min_duration'] -%}
                    {%- do slips.append(at ~ 'min_duration: a consecutive rule has none; leave it empty') -%}
                {%- endif -%}
            {%- elif row['kind'] in ['presence', 'absence'] -%}
                {%- set rule = 'an absence rule' if row['kind'] == 'absence' else 'a presence rule' -%}
                {%- if not _is_duration(row['min_duration']) -%}
                    {%- do slips.append(at ~ 'min_duration: ' ~ rule ~ ' needs a duration of no more than 3650 days, such as 10 minutes or 1 hour 30 minutes, and has "' ~ row['min_duration'] ~ '"') -%}
                {%- endif -%}
                {%- if row['threshold'] -%}
                    {%- do slips.append(at ~ 'threshold: ' ~ rule ~ ' has none; leave it empty') -%}
                {%- endif -%}
            {%- elif row['kind'] == 'unusual' -%}
                {%- for name in ['threshold', 'min_duration'] if row[name] -%}
                    {%- do slips.append(at ~ name ~ ': an unusual rule has none; leave it empty') -%}
                {%- endfor -%}
            {%- elif row['kind'] -%}
                {%- do slips.append(at ~ 'kind: "' ~ row['kind'] ~ '" is neither consecutive, presence, absence nor unusual') -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{#- A text that is empty where it is none, as the loader and PostgreSQL mean the same by it. -#}
{% macro _is_duration(text) -%}
    {%- set number = '([0-9]{1,9}(?:[.][0-9]{1,6})?) *' -%}
    {%- set units = (
        '(?:' ~ number ~ '(?:d|days?)(?: +|$))?(?:' ~ number ~ '(?:h|hours?)(?: +|$))?'
        ~ '(?:' ~ number ~ '(?:m|mins?|minutes?)(?: +|$))?(?:' ~ number ~ '(?:s|secs?|seconds?))?'
    ) -%}
    {%- set clock = '()([0-9]{1,5}):([0-5][0-9])(?::([0-5][0-9](?:[.][0-9]{1,6})?))?' -%}
    {%- set found = modules.re.fullmatch(clock, text | lower) or modules.re.fullmatch(units, text | lower) -%}
    {%- set seconds = namespace(sum=0) -%}
    {%- for part in (found.groups('0') if found else []) -%}
        {%- set seconds.sum = seconds.sum + part | float * [86400, 3600, 60, 1][loop.index0] -%}
    {%- endfor -%}
    {{- 'it is' if 0 < seconds.sum <= 3650 * 86400 -}}
{%- endmacro %}
