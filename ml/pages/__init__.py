"""How every page looks: one style, one way to fill a template, and the parts that pages share."""
