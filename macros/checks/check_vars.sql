{% macro check_vars() %}
    {#-
        What PostgreSQL says of a value that it cannot use names no var, and comes when tables change. The offset of a
        zone is asked for in each month: it may be whole hours in summer only.
    -#}
    {%- set wanted = {
        'activity_gap': 'an interval above zero and without months, such as "1 minute" or "1 day 12 hours"',
        'report_timezone': 'the name of a zone whose offset is whole hours, such as "UTC" or "Europe/Berlin"',
        'full_refresh_work_mem': 'an amount of memory, such as "128MB"',
        'allow_history_loss': 'true or false',
    } -%}
    {%- set conditions = {
        'activity_gap': "{0}::interval > interval '0' and {0}::interval < interval '1000 years'"
            ~ " and extract(year from {0}::interval) = 0 and extract(month from {0}::interval) = 0",
        'report_timezone': "not exists (select from pg_timezone_abbrevs where abbrev = upper({0}) and upper({0}) not in ('UTC', 'GMT'))"
            ~ " and not exists (select from generate_series(0, 11) as months (number)"
            ~ " where extract(minute from (now() + number * interval '1 month') at time zone {0}"
            ~ " - (now() + number * interval '1 month') at time zone 'UTC') <> 0)",
        'full_refresh_work_mem': "set_config('work_mem', {0}, true) is not null",
    } -%}
    {%- if execute -%}
        {%- set refused = [] -%}
        {#- A number has no unit, and YAML takes 1:30 for one. -#}
        {%- if var('activity_gap') is not string or modules.re.fullmatch('[-+.0-9 ]*', var('activity_gap')) -%}
            {%- do refused.append('activity_gap') -%}
        {%- endif -%}
        {%- if var('report_timezone') is not string -%}
            {%- do refused.append('report_timezone') -%}
        {%- endif -%}
        {%- if var('allow_history_loss') is not boolean -%}
            {%- do refused.append('allow_history_loss') -%}
        {%- endif -%}
        {%- set query -%}
            {#- Hooks on the run are outside of a transaction; this is a single one for the server. #}
            {{ own_settings() }};
            do $check_vars$
            begin
                perform set_config('video_events.refused', '', true);
                {%- for name, condition in conditions.items() if name not in refused %}
                begin
                    if ({{ condition | replace('{0}', var_literal(name)) }}) is not true then
                        raise exception using message = 'as is wanted';
                    end if;
                exception when others then
                    perform set_config('video_events.refused', '{{ name }}', true);
                end;
                {%- endfor %}
            end
            $check_vars$;
            select current_setting('video_events.refused') as name
        {%- endset -%}
        {%- do refused.append(run_query(query)[0][0]) -%}
        {%- for name in refused if name -%}
            {%- do exceptions.raise_compiler_error(
                name ~ " is " ~ tojson(var(name)) ~ ", but must be " ~ wanted[name]
                ~ ". Nothing was changed. It is set in dbt_project.yml or by --vars"
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
