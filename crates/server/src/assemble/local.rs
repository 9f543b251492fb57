//! The model inside this process, in builds that have it.

#[cfg(feature = "local-model")]
pub(super) use with::{factory, installed, note};
#[cfg(not(feature = "local-model"))]
pub(super) use without::{factory, installed, note};

#[cfg(feature = "local-model")]
mod with {
    use std::path::Path;
    use std::sync::Arc;

    use loquat_agent::model::Model;

    use crate::config::Config;
    use crate::models::local::{DEMO_NOTE, LocalConfig, LocalModel};
    use crate::models::{BuildError, LocalFactory, Provider};

    /// Makes local models; the weights are read in the background, so that the first message waits less.
    #[allow(clippy::unnecessary_wraps, reason = "builds without the model give none")]
    pub(in crate::assemble) fn factory(config: &Config) -> Option<Arc<LocalFactory>> {
        let models = config.folders.models().map(Path::to_owned);
        Some(Arc::new(move |model| {
            let (_, name) = Provider::of(&model.id);
            let wrong = |reason| BuildError::Local { id: model.id.clone(), reason };
            let models = models.as_ref().map_err(|error| wrong(error.to_string()))?;
            let parsed =
                LocalConfig::parse(name, models).map_err(|reason| wrong(format!("expected {reason}")))?;
            let local = LocalModel::new(LocalConfig { params: model.params.clone(), ..parsed });
            if local.is_installed() {
                local.start_loading();
            }
            Ok(Arc::new(local) as Arc<dyn Model>)
        }))
    }

    fn local(config: &Config) -> Option<LocalModel> {
        let (provider, name) = Provider::of(&config.models[0].id);
        if provider != Provider::Local {
            return None;
        }
        LocalConfig::parse(name, config.folders.models().ok()?).ok().map(LocalModel::new)
    }

    /// Whether the model that answers is on this machine.
    pub(in crate::assemble) fn installed(config: &Config) -> bool {
        local(config).is_none_or(|model| model.is_installed())
    }

    /// What people should know about the model that answers.
    pub(in crate::assemble) fn note(config: &Config) -> Option<String> {
        let model = local(config)?;
        if !model.is_installed() {
            return Some(if model.is_demo() {
                "Built-in model: not installed. Fetch it (98 MB) with `cargo xtask model` or `loquat model fetch`, or \
                 set MODEL_ID to another one, like openai/…, anthropic/…, ollama/… or a Bedrock model."
                    .to_owned()
            } else {
                format!(
                    "Local model: there is no file {}. Set MODEL_ID to one that is there.",
                    model.file().display()
                )
            });
        }
        model.is_demo().then(|| DEMO_NOTE.to_owned())
    }
}

#[cfg(not(feature = "local-model"))]
mod without {
    use std::sync::Arc;

    use crate::config::Config;
    use crate::models::LocalFactory;

    pub(in crate::assemble) fn factory(_: &Config) -> Option<Arc<LocalFactory>> {
        None
    }
    pub(in crate::assemble) fn installed(_: &Config) -> bool {
        true
    }
    pub(in crate::assemble) fn note(_: &Config) -> Option<String> {
        None
    }
}
