//! The configuration file: YAML to validated types, errors with line and field.
