{% macro postgres__rename_relation(from_relation, to_relation) -%}
    {#-
        The swap of a rebuilt table. To rename the table locks it, and `keep_dependent_views` locks
        the views on it, while a reader of a view locks the view first and the table then: one of
        the two would be told of a deadlock. So all locks are taken before anything is renamed, in
        the order of the readers. For the first one this waits as long as it takes; it holds
        nothing yet. If a later one is not to be had soon, it gives back those it has: a transaction
        that read one view may be waiting for another one. Only where readers leave no gap for half
        a minute it waits with what it has.
    -#}
    {%- call statement('lock_for_swap') -%}
        do $$
        declare
            dependent record;
            usual constant text := current_setting('lock_timeout');
            hurry_at constant timestamptz := clock_timestamp() + interval '30 seconds';
        begin
            loop
                begin
                    -- A view on another one is the younger one: it comes first, as for its readers.
                    for dependent in
                        select
                            views.oid::regclass as name,
                            pg_catalog.pg_get_userbyid(views.relowner) as owner
                        from ({{ dependent_views(from_relation) | indent(24) }}) as dependent_views
                        inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid
                        -- Those of others, and materialized ones, stay as they are.
                        where views.relkind = 'v' and {{ is_trusted_owner('views.relowner') | indent(24) }}
                        order by views.oid desc
                    loop
                        begin
                            -- Changes nothing, but locks the view, and unlike `lock table` only it.
                            execute format('alter view %s owner to %I', dependent.name, dependent.owner);
                        exception when undefined_table then
                            -- Somebody has just dropped it.
                            null;
                        end;
                        perform set_config('lock_timeout', case when clock_timestamp() < hurry_at then '300ms' else '0' end, true);
                    end loop;
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
    {%- if to_relation == make_backup_relation(from_relation, to_relation.type) -%}
        {#- dbt drops an old table after the commit: that of another run may still be there. -#}
        {%- do drop_relation_if_exists(to_relation) -%}
    {%- endif -%}
    {{ default__rename_relation(from_relation, to_relation) }}
{%- endmacro %}
