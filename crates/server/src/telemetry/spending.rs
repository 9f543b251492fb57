//! What was spent today, as `/metrics` shows it: by this process, and by the users who cost most. A day ends at midnight,
//! UTC. Users are named by their hashes, and only so many of them: no number of users fills a memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::cost::round;
use super::metrics::{head, sample};

/// What this process spent today.
pub const COST_TODAY: &str = "loquat_cost_today_usd";
/// What the users spent today who spent most.
pub const TOP_USERS: &str = "loquat_top_user_cost_today_usd";
/// Whoever did not sign in.
pub const ANONYMOUS: &str = "anonymous";

/// The sums of a day.
#[derive(Debug, Default)]
pub struct Spending {
    most_users: usize,
    today: Mutex<Today>,
}

#[derive(Debug, Default)]
struct Today {
    day: Date,
    cost_usd: f64,
    users: BTreeMap<String, f64>,
}

impl Spending {
    /// Shows so many users.
    #[must_use]
    pub fn new(most_users: usize) -> Self {
        Self { most_users, today: Mutex::default() }
    }

    /// A model call cost so much.
    pub fn add(&self, usd: f64) {
        self.on(now(), |today| today.cost_usd = round(today.cost_usd + usd));
    }

    /// A user's runs cost so much by now, in all processes. Of a day the sum only grows, so whoever falls out of the list
    /// and belongs into it comes back with the next run.
    pub fn user(&self, hashed: Option<&str>, usd: f64) {
        let most = self.most_users;
        self.on(now(), |today| {
            today.users.insert(hashed.unwrap_or(ANONYMOUS).to_owned(), usd);
            if today.users.len() > most {
                let least = today.users.iter().min_by(|a, b| a.1.total_cmp(b.1));
                if let Some(least) = least.map(|(user, _)| user.clone()) {
                    today.users.remove(&least);
                }
            }
        });
    }

    fn on(&self, day: Date, change: impl FnOnce(&mut Today)) {
        let mut today = self.today.lock();
        if today.day != day {
            *today = Today { day, ..Today::default() };
        }
        change(&mut today);
    }

    /// The Prometheus text.
    pub fn render(&self, out: &mut String) {
        self.render_on(now(), out);
    }

    fn render_on(&self, day: Date, out: &mut String) {
        self.on(day, |today| {
            head(out, COST_TODAY, "gauge", "US dollars that this process's model calls cost since midnight, UTC.");
            sample(out, COST_TODAY, &[], today.cost_usd);
            let help = "US dollars that a user's runs cost since midnight, UTC, in all processes; those who cost most.";
            head(out, TOP_USERS, "gauge", help);
            for (user, usd) in &today.users {
                sample(out, TOP_USERS, &[("user", user)], *usd);
            }
        });
    }
}

fn now() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spending: &Spending, day: Date) -> Vec<String> {
        let mut out = String::new();
        spending.render_on(day, &mut out);
        out.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn those_who_cost_most_are_shown_and_no_more() {
        let spending = Spending::new(2);
        let today = now();
        for n in 0..1_000 {
            spending.add(0.25);
            spending.user(Some(&format!("user-{n:03}")), f64::from(n) / 100.0);
        }
        spending.user(None, 12.5);
        // Again, with a larger sum: replaced and not added.
        spending.user(Some("user-999"), 10.5);
        let shown = [
            "loquat_cost_today_usd 250",
            "loquat_top_user_cost_today_usd{user=\"anonymous\"} 12.5",
            "loquat_top_user_cost_today_usd{user=\"user-999\"} 10.5",
        ];
        assert_eq!(text(&spending, today), shown);
        // A new day begins at nothing.
        assert_eq!(text(&spending, today.tomorrow().unwrap()), ["loquat_cost_today_usd 0"]);
    }

    #[test]
    fn none_are_shown_where_none_are_wanted() {
        let spending = Spending::new(0);
        spending.user(Some("user"), 1.0);
        assert_eq!(text(&spending, now()), ["loquat_cost_today_usd 0"]);
    }
}
