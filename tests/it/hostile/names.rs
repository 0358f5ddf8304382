//! Names of models: normalised once and for all, equal by case as the server has it, shown safely whatever they are.

use std::collections::HashSet;

use resident::residency::name::ModelName;

use super::safe;

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    let kept = ModelName::from_server(&text);
    safe::assert_safe(&kept.to_string());
    safe::assert_safe(&format!("{kept:>40}"));
    let name = match ModelName::parse(&text) {
        Ok(name) => name,
        Err(error) => {
            assert_eq!(kept.as_str(), text, "what breaks the rules is sent back as it came");
            safe::assert_safe(&error.to_string());
            return;
        }
    };
    assert_eq!(kept.as_str(), name.as_str());
    let again = ModelName::parse(name.as_str()).expect("a name that was read");
    assert_eq!(again.as_str(), name.as_str());
    assert_eq!(ModelName::parse(&name.to_string()).as_ref(), Ok(&name), "what is shown can be typed");
    let parts = name.parts().expect("the parts of a name");
    for part in [parts.host, parts.namespace, parts.model, parts.tag] {
        // They become a path.
        assert!(!part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', '\0']), "{part:?}");
    }
    let loud = ModelName::parse(&name.as_str().to_ascii_uppercase()).expect("a name in capitals");
    assert_eq!(loud, name);
    assert_eq!(loud.cmp(&name), std::cmp::Ordering::Equal);
    assert_eq!(HashSet::from([loud, name]).len(), 1);
}
