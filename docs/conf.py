"""How Sphinx makes the site of these pages: ``make docs``."""

project = "video-events"
extensions = ["myst_parser"]

# A link to a heading is checked like one to a page.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "video-events"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fa8", "color-brand-content": "#1d5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7db7f5", "color-brand-content": "#7db7f5"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
