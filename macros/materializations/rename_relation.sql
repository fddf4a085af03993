{% macro rename_relation(from_relation, to_relation) -%}
    {#- The swap of a rebuilt table: the first of its two renamings locks all that it takes. -#}
    {%- if to_relation == make_backup_relation(from_relation, to_relation.type) -%}
        {#- dbt drops an old table after the commit: that of another run may still be there. -#}
        {%- do drop_relation_if_exists(to_relation) -%}
    {%- endif -%}
    {%- do lock_against_readers(from_relation, and_its_views=true) -%}
    {{ default__rename_relation(from_relation, to_relation) }}
{%- endmacro %}
