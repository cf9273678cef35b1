"""From an organisation's rows to a clean, regular, labelled grid."""
