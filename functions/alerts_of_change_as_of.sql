{{ alerts_of_stretch(is_of_change=true) }}
