//! The system prompt and the models.

use std::collections::BTreeMap;
use std::path::Path;

use super::raw::RawConfig;
use super::{ConfigError, DEFAULT_MODEL, Prompt, env, file};
use crate::models::ModelConfig;

pub(super) fn prompt(raw: &RawConfig, folder: &Path, places: &file::Places) -> Result<Prompt, ConfigError> {
    if let (Some(bucket), Some(key)) = (&raw.system_prompt_s3_bucket_name, &raw.system_prompt_s3_key) {
        return Ok(Prompt::S3 { bucket: bucket.clone(), key: key.clone() });
    }
    if raw.system_prompt_s3_bucket_name.is_some() || raw.system_prompt_s3_key.is_some() {
        let expected = "both the bucket and the key of the system prompt, or neither";
        return Err(places.wrong("system_prompt_s3_key", "only one of the two", expected));
    }
    match (&raw.system_prompt, &raw.system_prompt_file) {
        (Some(_), Some(_)) => {
            Err(places.wrong("system_prompt_file", "set beside system_prompt", "only one of the two"))
        }
        (Some(text), None) => Ok(Prompt::Text(text.clone())),
        (None, Some(path)) => match std::fs::read_to_string(folder.join(path)) {
            Ok(text) => Ok(Prompt::Text(text)),
            Err(error) => {
                let shown = path.display().to_string();
                Err(places.wrong("system_prompt_file", &shown, &format!("a text file ({error})")))
            }
        },
        (None, None) => Ok(Prompt::None),
    }
}

pub(super) fn models(
    raw: &RawConfig,
    folder: &Path,
    env: &BTreeMap<String, String>,
    places: &file::Places,
) -> Result<Vec<ModelConfig>, ConfigError> {
    let mut ids: Vec<String> = raw.model.iter().cloned().collect();
    for id in raw.models.iter().flatten() {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    if ids.is_empty() {
        ids.push(DEFAULT_MODEL.to_owned());
    }
    if let Some(unused) = raw.model_settings.keys().find(|id| !ids.contains(id)) {
        return Err(places.wrong("model_settings", unused, "the name of a model in `model` or `models`"));
    }
    let mut models = Vec::with_capacity(ids.len());
    for id in ids {
        if id.trim().is_empty() {
            return Err(places.wrong("model", "\"\"", "a model's name, like openai/gpt-4o-mini"));
        }
        if !crate::models::Provider::knows(&id) {
            let expected = "a model of bedrock/…, anthropic/…, openai/…, ollama/… or local/…, or an id or ARN of Bedrock";
            return Err(places.wrong("model", &id, expected));
        }
        let mut model = ModelConfig { id: id.clone(), params: raw.params.clone(), ..ModelConfig::default() };
        if let Some(settings) = raw.model_settings.get(&id) {
            settings.apply(&mut model, folder, env, places)?;
        }
        env::official(&mut model, env);
        let (provider, name) = crate::models::Provider::of(&id);
        crate::models::check_params(provider, name, &model.params).map_err(|error| {
            let own = format!("model_settings.\"{id}\".params");
            let key = format!("params.{}", error.name());
            let keys = [format!("model_settings.\"{id}\".{key}"), own, key, "params".to_owned()];
            let key = keys.iter().find(|key| places.has(key)).map_or("params", String::as_str);
            let value = error.value(&model.params);
            places.wrong(key, &value, &format!("parameters that {id} takes: {error}"))
        })?;
        models.push(model);
    }
    Ok(models)
}
