{% macro load_csv_rows(model, agate_table) %}
    {%- set seed = checked_seed() -%}
    {%- if not seed -%}
        {{ return(default__load_csv_rows(model, agate_table)) }}
    {%- endif -%}
    {#- Whoever edits the table by hand cannot list a type twice either. -#}
    {%- set key = {'event_types': 'event_type', 'alert_rules': 'rule_name'}[seed] -%}
    {%- call statement('unique_key') -%}
        create unique index if not exists {{ adapter.quote(this.identifier[:40] ~ '_' ~ key ~ '_key') }}
        on {{ this.render() }} ({{ key }})
    {%- endcall -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows if row.values() | reject('none') | list -%}
        {%- do rows.append(row.values()) -%}
    {%- endfor -%}
    {%- if rows -%}
        {{ return(default__load_csv_rows(model, {'column_names': agate_table.column_names, 'rows': rows})) }}
    {%- endif -%}
    {{ return('') }}
{% endmacro %}
