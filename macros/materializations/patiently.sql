{% macro patiently(relations, attempt, excludes_readers=true) %}
    {#-
        PostgreSQL makes everybody wait behind a lock that excludes all others and is waited for,
        for as long as one reader keeps its transaction open. So a wait is cut off after a moment,
        what the attempt locked is given back, readers pass, and it is tried again. Each statement
        ends soon: while one runs dbt tells nothing, and a statement_timeout may be set.
    -#}
    {%- set began = modules.datetime.datetime.now() -%}
    {%- set told = namespace(until=2) -%}
    {%- for number in range(100000) -%}
        {%- call statement('attempt', auto_begin=false) -%}
            do $patiently$
            declare
                {#- Rarely after a while: each attempt makes readers wait. #}
                pause constant double precision := {{ 0.1 if number == 0 else 1 }};
                until constant timestamptz := clock_timestamp() + interval '2 seconds';
                usual constant text := current_setting('lock_timeout');
            begin
                perform set_config('video_events.waits_for', '', false);
                loop
                    begin
                        perform set_config('lock_timeout', {{ dbt.string_literal(var('lock_moment')) }}, true);
                        {{ attempt }}
                        perform set_config('lock_timeout', usual, true);
                        return;
                    exception when lock_not_available or deadlock_detected then
                        if clock_timestamp() > until then
                            perform set_config('video_events.waits_for', ({{ lock_holders(relations, excludes_readers) | indent(28) }}), false);
                            return;
                        end if;
                        perform pg_sleep(pause);
                    end;
                end loop;
            end
            $patiently$
        {%- endcall -%}
        {%- set holders = run_query("select current_setting('video_events.waits_for')")[0][0] -%}
        {%- if not holders -%}
            {{ return('') }}
        {%- endif -%}
        {%- set waited = (modules.datetime.datetime.now() - began).total_seconds() -%}
        {%- set patience = run_query(
            "select extract(epoch from interval " ~ dbt.string_literal(var('lock_patience')) ~ ")::float"
        )[0][0] -%}
        {%- if waited >= patience -%}
            {%- do exceptions.raise_compiler_error(
                relations[0].identifier ~ " waited " ~ var('lock_patience') ~ " (var lock_patience) for " ~ holders
                ~ " and gives up; nothing was changed"
            ) -%}
        {%- elif waited >= told.until -%}
            {%- do log(
                relations[0].identifier ~ " waits for " ~ holders ~ "; others pass."
                ~ " It gives up after " ~ var('lock_patience'),
                info=true
            ) -%}
            {%- set told.until = waited + 30 -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
