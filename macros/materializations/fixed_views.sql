{% macro fixed_views(relation) -%}
    select
        views.oid::regclass::text as view_name,
        pg_catalog.pg_get_userbyid(views.relowner) as owner_name
    from ({{ dependent_views(relation) | indent(4) }}) as dependent_views
    inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid
    {#- To create a stranger's view again reads its literals, and may run functions of its owner. #}
    where views.relkind = 'm' or not ({{ is_trusted_owner('views.relowner') | indent(4) }})
{%- endmacro %}
