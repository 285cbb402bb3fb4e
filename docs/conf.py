"""How Sphinx makes the site: the Markdown pages as they are, furo's theme, and every broken link an error."""

project = "stream_app"
html_title = "stream_app"
extensions = ["myst_parser"]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/adr/*.md"]
exclude_patterns = [".*", "build", "dist"]
suppress_warnings = ["toc.not_included"]  # the decision records are listed in docs/adr/README.md
root_doc = "docs/index"
myst_heading_anchors = 4  # links to headings, as in the repository's own view
html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["../llms.txt"]
