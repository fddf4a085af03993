{% macro postgres__rename_relation(from_relation, to_relation) -%}
    {#-
        The swap of a rebuilt table. To rename the table locks it, and `keep_dependent_views` locks
        the views on it, while a reader of a view locks the view first and the table then: one of
        the two would be told of a deadlock. So all locks are taken before anything is renamed, in
        the order of the readers. For the first one this waits as long as it takes; it holds
        nothing yet. If a later one is not to be had soon, it gives back those it has: a transaction
        that read one view may be waiting for another one. Only where readers leave no gap for half
        a minute it waits with what it has.
        (To replace a view by itself locks that view and nothing below it; `lock table` would.)
    -#}
    {%- set be_patient -%}
        perform set_config('lock_timeout', case when clock_timestamp() < hurry_at then '300ms' else '0' end, true);
    {%- endset -%}
    {%- call statement('lock_for_swap') -%}
        do $$
        declare
            dependent record;
            usual constant text := current_setting('lock_timeout');
            hurry_at constant timestamptz := clock_timestamp() + interval '30 seconds';
        begin
            loop
                begin
                    {{ point_dependent_views(from_relation, from_relation, and_then=be_patient) | indent(20) }}
                    lock table {{ from_relation.render() }} in access exclusive mode;
                    exit;
                exception when lock_not_available or deadlock_detected then
                    perform pg_catalog.pg_sleep(0.1);
                end;
            end loop;
            perform set_config('lock_timeout', usual, true);
        end
        $$
    {%- endcall -%}
    {{ default__rename_relation(from_relation, to_relation) }}
{%- endmacro %}
