//! CloudFormation: change sets, events, deletion.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::{Aws, AwsError, Call, Service, encode};

const SERVICE: Service =
    Service { signing: "cloudformation", host: "cloudformation", id: "CloudFormation", global: false };
const VERSION: &str = "2010-05-15";

/// A stack as `DescribeStacks` shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Stack {
    /// The stack's own id: it goes on when a deleted stack's name is used again.
    pub stack_id: String,
    /// `CREATE_COMPLETE` and the like.
    pub stack_status: String,
    /// Why, where something went wrong.
    pub stack_status_reason: Option<String>,
    outputs: Members<Output>,
}

impl Stack {
    /// An output's value.
    pub fn output(&self, key: &str) -> Option<&str> {
        self.outputs
            .member
            .iter()
            .find(|output| output.output_key == key)
            .map(|output| output.output_value.as_str())
    }

    /// Every output: name, value, description.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.outputs.member.iter().map(|output| {
            (output.output_key.as_str(), output.output_value.as_str(), output.description.as_str())
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Output {
    output_key: String,
    output_value: String,
    description: String,
}

/// One change of a change set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    /// `Add`, `Modify`, `Remove`.
    pub action: String,
    /// The logical id.
    pub logical_resource_id: String,
    /// The type.
    pub resource_type: String,
    /// `True` where the resource is made anew.
    pub replacement: Option<String>,
}

/// A change set.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// `CREATE_COMPLETE`, `FAILED` and the like.
    pub status: String,
    /// Why it failed.
    pub reason: String,
    /// What it would do.
    pub changes: Vec<Change>,
}

/// A stack's event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Event {
    /// Its id.
    pub event_id: String,
    /// The logical id, or the stack's name.
    pub logical_resource_id: String,
    /// The type.
    pub resource_type: String,
    /// The resource's new status.
    pub resource_status: String,
    /// Why, where something went wrong.
    pub resource_status_reason: Option<String>,
}

/// A resource of a stack.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resource {
    /// The logical id.
    pub logical_resource_id: String,
    /// The name in its service.
    pub physical_resource_id: Option<String>,
    /// The type.
    pub resource_type: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Members<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    member: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { member: Vec::new() }
    }
}

/// A template: itself, or where it is on S3, as those must be that are larger than 51 200 bytes.
#[derive(Clone, Copy, Debug)]
pub enum Template<'a> {
    /// The text.
    Body(&'a str),
    /// The object's address.
    Url(&'a str),
}

/// What a change set is made of.
#[derive(Debug)]
pub struct NewChangeSet<'a> {
    /// The stack.
    pub stack: &'a str,
    /// The change set's name.
    pub name: &'a str,
    /// Whether the stack is new.
    pub create: bool,
    /// The template.
    pub template: Template<'a>,
    /// Parameter names and values.
    pub parameters: &'a [(String, String)],
    /// Tags on every resource that takes some.
    pub tags: &'a [(String, String)],
}

impl Aws {
    async fn query(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Bytes, AwsError> {
        let mut form = format!("Action={action}&Version={VERSION}");
        for (name, value) in parameters {
            form.push_str(&format!("&{name}={}", encode(value)));
        }
        let call = Call {
            service: SERVICE,
            method: Method::POST,
            path: "/".into(),
            headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
            body: form.into(),
            action,
        };
        Ok(self.call(call).await?.1)
    }

    async fn query_as<T: for<'de> Deserialize<'de>>(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, AwsError> {
        let body = self.query(action, parameters).await?;
        quick_xml::de::from_reader(body.as_ref()).map_err(|error| AwsError::unreadable(action, error))
    }

    /// A stack by name or id; `None` where there is none.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn stack(&self, name: &str) -> Result<Option<Stack>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            describe_stacks_result: Inner,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inner {
            stacks: Members<Stack>,
        }
        match self.query_as::<Answer>("DescribeStacks", &[("StackName", name)]).await {
            Ok(answer) => Ok(answer.describe_stacks_result.stacks.member.into_iter().next()),
            Err(error) if error.message().contains("does not exist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether CloudFormation has a type of resource here; taken for granted by somebody who may not ask.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn knows_type(&self, name: &str) -> Result<bool, AwsError> {
        match self.query("DescribeType", &[("Type", "RESOURCE"), ("TypeName", name)]).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.code(), "TypeNotFoundException" | "InvalidAction") => Ok(false),
            Err(AwsError::Refused { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Begins a change set.
    ///
    /// # Errors
    /// When CloudFormation refuses the template.
    pub async fn create_change_set(&self, new: &NewChangeSet<'_>) -> Result<(), AwsError> {
        let (template, text) = match new.template {
            Template::Body(text) => ("TemplateBody", text),
            Template::Url(url) => ("TemplateURL", url),
        };
        let mut parameters = vec![
            ("StackName".to_owned(), new.stack),
            ("ChangeSetName".to_owned(), new.name),
            ("ChangeSetType".to_owned(), if new.create { "CREATE" } else { "UPDATE" }),
            (template.to_owned(), text),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
        ];
        for (index, (key, value)) in (1..).zip(new.parameters) {
            parameters.push((format!("Parameters.member.{index}.ParameterKey"), key));
            parameters.push((format!("Parameters.member.{index}.ParameterValue"), value));
        }
        for (index, (key, value)) in (1..).zip(new.tags) {
            parameters.push((format!("Tags.member.{index}.Key"), key));
            parameters.push((format!("Tags.member.{index}.Value"), value));
        }
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        self.query("CreateChangeSet", &parameters).await.map(drop)
    }

    /// Looks at a change set.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn change_set(&self, stack: &str, name: &str) -> Result<ChangeSet, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            describe_change_set_result: Inner,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inner {
            status: String,
            #[serde(default)]
            status_reason: String,
            #[serde(default)]
            changes: Members<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Entry {
            resource_change: Change,
        }
        let parameters = [("StackName", stack), ("ChangeSetName", name)];
        let inner =
            self.query_as::<Answer>("DescribeChangeSet", &parameters).await?.describe_change_set_result;
        Ok(ChangeSet {
            status: inner.status,
            reason: inner.status_reason,
            changes: inner.changes.member.into_iter().map(|entry| entry.resource_change).collect(),
        })
    }

    /// Puts a change set in effect.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn execute_change_set(&self, stack: &str, name: &str) -> Result<(), AwsError> {
        self.query("ExecuteChangeSet", &[("StackName", stack), ("ChangeSetName", name)]).await.map(drop)
    }

    /// Throws a change set away.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn delete_change_set(&self, stack: &str, name: &str) -> Result<(), AwsError> {
        self.query("DeleteChangeSet", &[("StackName", stack), ("ChangeSetName", name)]).await.map(drop)
    }

    /// The stack's latest events, newest first.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn stack_events(&self, stack: &str) -> Result<Vec<Event>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            describe_stack_events_result: Inner,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inner {
            #[serde(default)]
            stack_events: Members<Event>,
        }
        let answer = self.query_as::<Answer>("DescribeStackEvents", &[("StackName", stack)]).await?;
        Ok(answer.describe_stack_events_result.stack_events.member)
    }

    /// The stack's resources.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn stack_resources(&self, stack: &str) -> Result<Vec<Resource>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            describe_stack_resources_result: Inner,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inner {
            #[serde(default)]
            stack_resources: Members<Resource>,
        }
        let answer = self.query_as::<Answer>("DescribeStackResources", &[("StackName", stack)]).await?;
        Ok(answer.describe_stack_resources_result.stack_resources.member)
    }

    /// Begins to delete a stack.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn delete_stack(&self, stack: &str) -> Result<(), AwsError> {
        self.query("DeleteStack", &[("StackName", stack)]).await.map(drop)
    }
}
