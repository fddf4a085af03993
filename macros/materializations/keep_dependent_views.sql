{% macro keep_dependent_views() %}
    {#-
        A rebuilt table takes the place of the old one, and dbt then drops the old one together
        with the views on it: the live ones and those of BI users. Within the transaction of the
        swap they are pointed at the new table instead. One that no longer fits its columns goes.
    -#}
    {%- if execute -%}
    do $$
    declare
        dependent record;
    begin
        {{ point_dependent_views(make_backup_relation(this, 'table'), this) | indent(8) }}
    end
    $$
    {%- endif -%}
{% endmacro %}
