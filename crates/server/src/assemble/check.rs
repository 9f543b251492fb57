//! What `loquat check` asks: each model once, each source of tools once.

use super::local;
use crate::aws;
use crate::config::Config;
use crate::models::{self, BuildContext, Checked};
use crate::tools::{SourceStatus, ToolDeps, Toolbox};

/// Asks each configured model one tiny question, and each source of tools for its tools. Opens no store.
pub async fn check(config: &Config) -> (Vec<Checked>, Vec<SourceStatus>) {
    let aws = aws::loader(None);
    let cx =
        BuildContext { local: local::factory(config), aws: Some(aws.clone()), ..BuildContext::default() };
    let deps = ToolDeps { base_env: config.child_env.clone(), aws: Some(aws), ..ToolDeps::default() };
    let toolbox = Toolbox::start(&config.tools, &deps);
    let checked = tokio::join!(models::check(&config.models, &cx), toolbox.check());
    toolbox.shutdown().await;
    checked
}
