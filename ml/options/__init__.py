"""The sections of an organisation's configuration, one file each; `ml.config` puts them together."""
