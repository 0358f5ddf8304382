//! The themes that a key goes through: the config's own, and all that come with the program.

use super::{Depth, Theme, choose};
use crate::config::{self, Base};

/// All themes, and which one is worn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wardrobe {
    /// The one that the config names.
    config: config::Theme,
    depth: Depth,
    /// The one that was chosen by key, instead of the config's.
    worn: Option<Base>,
}

impl Wardrobe {
    /// The theme of the config is worn.
    pub fn new(config: config::Theme, depth: Depth) -> Wardrobe {
        Wardrobe { config, depth, worn: None }
    }

    /// How things look.
    pub fn theme(&self) -> Theme {
        match self.worn {
            Some(base) => choose(&config::Theme { base, ..config::Theme::default() }, self.depth),
            None => choose(&self.config, self.depth),
        }
    }

    /// What the worn one is called.
    pub fn name(&self) -> String {
        match self.worn {
            Some(base) => base.name().to_owned(),
            None if self.config.own.is_empty() => self.config.base.name().to_owned(),
            None => format!("{} with your colours", self.config.base.name()),
        }
    }

    /// Takes the next one; says what there is to say.
    pub(crate) fn change(&mut self) -> String {
        if self.depth == Depth::None {
            return "NO_COLOR is set: no theme has colours".to_owned();
        }
        // The config's is one of them, unless it has colours of its own.
        let is_one = |base: &Base| self.config.own.is_empty() && *base == self.config.base;
        let others = Base::ALL.into_iter().filter(|base| !is_one(base)).map(Some);
        let all: Vec<Option<Base>> = std::iter::once(None).chain(others).collect();
        let at = all.iter().position(|one| *one == self.worn).unwrap_or(0);
        self.worn = all[(at + 1) % all.len()];
        format!("theme {}", self.name())
    }

    /// What is to be remembered of a choice: what was chosen, and instead of what.
    pub(crate) fn chosen(&self) -> Option<(String, String)> {
        self.worn.map(|base| (base.name().to_owned(), self.config.to_string()))
    }

    /// Wears what was chosen earlier, unless the config says something else since.
    pub(crate) fn wear(&mut self, chosen: Option<(&str, &str)>) {
        let chosen = chosen.filter(|(_, instead)| *instead == self.config.to_string());
        self.worn = chosen.and_then(|(chosen, _)| Base::ALL.into_iter().find(|base| base.name() == chosen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Hue, Role};

    fn own() -> config::Theme {
        config::Theme { base: Base::Safe, own: [(Role::Vram, Hue::Ansi(2))].into() }
    }

    #[test]
    fn a_key_goes_through_all_themes_and_back_to_the_configs() {
        let round = |config: config::Theme, steps: usize| {
            let mut wardrobe = Wardrobe::new(config, Depth::Sixteen);
            let first = wardrobe.theme();
            let said: Vec<String> = (0..steps).map(|_| wardrobe.change()).collect();
            assert_eq!(wardrobe.theme(), first);
            said.join(", ")
        };
        assert_eq!(
            round(config::Theme::default(), 5),
            "theme light, theme high-contrast, theme safe, theme mono, theme dark"
        );
        assert_eq!(
            round(own(), 6),
            "theme dark, theme light, theme high-contrast, theme safe, theme mono, theme safe with your colours"
        );
    }

    #[test]
    fn without_colours_there_is_nothing_to_choose() {
        let mut wardrobe = Wardrobe::new(own(), Depth::None);
        assert!(wardrobe.change().contains("NO_COLOR"));
        assert_eq!(wardrobe.chosen(), None);
    }

    #[test]
    fn a_choice_holds_until_the_config_says_something_else() {
        let mut wardrobe = Wardrobe::new(own(), Depth::Sixteen);
        wardrobe.change();
        wardrobe.change();
        let (theme, instead) = wardrobe.chosen().unwrap();
        let chosen = Some((&*theme, &*instead));
        let mut again = Wardrobe::new(own(), Depth::Sixteen);
        again.wear(chosen);
        assert_eq!(again, wardrobe);
        let mut other = Wardrobe::new(config::Theme::default(), Depth::Sixteen);
        other.wear(chosen);
        assert_eq!(other.name(), "dark");
        again.wear(Some(("no such theme", &own().to_string())));
        assert_eq!(again.name(), "safe with your colours");
    }
}
