//! The same types told three more times: as JSON schema, as a commented YAML file, and as tables of the manual.

mod markdown;
mod outline;
mod yaml;

pub use markdown::reference_markdown;
pub use yaml::reference_yaml;

/// The JSON schema of the file (draft 2020-12), for editors that check and complete while one types.
pub fn json_schema() -> String {
    let mut text = format!("{:#}", outline::schema());
    text.push('\n');
    text
}
