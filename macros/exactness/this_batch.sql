{% macro this_batch() %}
    {#- lo and hi are macros of their own because unit tests override them. -#}
    {{ return({
        'lo': batch_lo(),
        'hi': batch_hi(),
        'since': batch_value('since', '-infinity', 'timestamptz'),
        'recount_until': batch_value('recount_until', 'infinity', 'timestamptz'),
        'dropped_before': batch_value('dropped_before', '-infinity', 'timestamptz'),
    }) }}
{% endmacro %}
