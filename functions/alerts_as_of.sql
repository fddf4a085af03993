{{ alerts_of_stretch() }}
