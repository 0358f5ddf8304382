//! What the user chose about the screen by key, as it is remembered from one start to the next.

use serde::{Deserialize, Serialize};

use super::app::{App, Sort};
use super::columns::CHOICES;
use crate::residency::text::printable;

/// The longest filter that is taken from elsewhere.
const LONGEST: usize = 200;

/// The choices; what is not known is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Looks {
    /// The theme.
    pub theme: Option<String>,
    /// What the config said then: a config that was changed since wins.
    pub instead_of: Option<String>,
    /// How the table is ordered.
    pub sort: Option<String>,
    /// What names must contain.
    pub filter: String,
    /// Columns that are not shown.
    pub hidden: Vec<String>,
}

const SORTS: [(Sort, &str); 3] = [(Sort::List, "list"), (Sort::Name, "name"), (Sort::Size, "size")];

impl App {
    /// What is to be remembered.
    pub fn looks(&self) -> Looks {
        let (theme, instead_of) = self.settings.wardrobe.chosen().unzip();
        let sort = SORTS.iter().find(|(sort, _)| *sort == self.sort && *sort != Sort::List);
        let hidden = CHOICES.iter().filter(|(column, ..)| self.hidden.contains(column));
        Looks {
            theme,
            instead_of,
            sort: sort.map(|(_, word)| (*word).to_owned()),
            filter: self.filter.clone(),
            hidden: hidden.map(|(.., name, _)| (*name).to_owned()).collect(),
        }
    }

    /// Puts on what was remembered.
    pub fn wear(&mut self, looks: &Looks) {
        self.settings.wardrobe.wear(looks.theme.as_deref().zip(looks.instead_of.as_deref()));
        self.settings.theme = self.settings.wardrobe.theme();
        let sort = SORTS.iter().find(|(_, word)| looks.sort.as_deref() == Some(word));
        self.sort = sort.map_or(Sort::List, |(sort, _)| *sort);
        if looks.filter.len() <= LONGEST && printable(&looks.filter) == looks.filter {
            self.filter.clone_from(&looks.filter);
        }
        let hidden = CHOICES.iter().filter(|(.., name, _)| looks.hidden.iter().any(|hidden| hidden == name));
        self.hidden = hidden.map(|(column, ..)| *column).collect();
    }
}
