//! Failures, in the words of each provider.

/// A failure that a provider reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 400.
    Validation,
    /// 400: the input is too long.
    TooLong,
    /// 401 or 403: the credentials.
    Credentials,
    /// 403: no permission.
    AccessDenied,
    /// 404.
    NotFound,
    /// 408.
    ModelTimeout,
    /// 424: the model failed.
    ModelError,
    /// 424: the model failed in the middle.
    ModelStreamError,
    /// 429.
    Throttling,
    /// 429: the model is still loading.
    ModelNotReady,
    /// 500.
    InternalServer,
    /// 502, from a proxy: no body of the provider.
    BadGateway,
    /// 503.
    ServiceUnavailable,
    /// 504, from a proxy: no body of the provider.
    GatewayTimeout,
    /// 529.
    Overloaded,
}

/// How a fault looks at one provider.
pub(super) struct Face {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: &'static str,
}

impl Fault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Validation,
        Self::TooLong,
        Self::Credentials,
        Self::AccessDenied,
        Self::NotFound,
        Self::ModelTimeout,
        Self::ModelError,
        Self::ModelStreamError,
        Self::Throttling,
        Self::ModelNotReady,
        Self::InternalServer,
        Self::BadGateway,
        Self::ServiceUnavailable,
        Self::GatewayTimeout,
        Self::Overloaded,
    ];

    /// The word of the `error=` setting: Bedrock's name where it has one.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Validation => "validationException",
            Self::TooLong => "tooLong",
            Self::Credentials => "unrecognizedClientException",
            Self::AccessDenied => "accessDeniedException",
            Self::NotFound => "resourceNotFoundException",
            Self::ModelTimeout => "modelTimeoutException",
            Self::ModelError => "modelErrorException",
            Self::ModelStreamError => "modelStreamErrorException",
            Self::Throttling => "throttlingException",
            Self::ModelNotReady => "modelNotReadyException",
            Self::InternalServer => "internalServerException",
            Self::BadGateway => "badGateway",
            Self::ServiceUnavailable => "serviceUnavailableException",
            Self::GatewayTimeout => "gatewayTimeout",
            Self::Overloaded => "overloaded",
        }
    }

    /// Reads a word or a status.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let by_status = match word {
            "400" => Self::Validation,
            "401" => Self::Credentials,
            "403" => Self::AccessDenied,
            "404" => Self::NotFound,
            "408" => Self::ModelTimeout,
            "424" => Self::ModelError,
            "429" => Self::Throttling,
            "500" => Self::InternalServer,
            "502" => Self::BadGateway,
            "503" => Self::ServiceUnavailable,
            "504" => Self::GatewayTimeout,
            "529" => Self::Overloaded,
            _ => return Self::ALL.iter().copied().find(|fault| fault.word() == word),
        };
        Some(by_status)
    }

    pub(super) fn bedrock(self) -> Face {
        let (status, kind, message) = match self {
            Self::Validation => (400, "ValidationException", "The provided request is not valid."),
            Self::TooLong => (400, "ValidationException", "Input is too long for requested model."),
            Self::Credentials => {
                (403, "UnrecognizedClientException", "The security token included in the request is invalid.")
            }
            Self::AccessDenied => (
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ),
            Self::NotFound => (404, "ResourceNotFoundException", "Could not resolve the foundation model."),
            Self::ModelTimeout => (408, "ModelTimeoutException", "The model took too long."),
            Self::ModelError => (424, "ModelErrorException", "The model failed."),
            Self::ModelStreamError => (424, "ModelStreamErrorException", "The model failed while streaming."),
            Self::Throttling => {
                (429, "ThrottlingException", "Too many requests, please wait before trying again.")
            }
            Self::ModelNotReady => (429, "ModelNotReadyException", "The model is not ready."),
            Self::InternalServer => (500, "InternalServerException", "The system encountered an error."),
            Self::BadGateway => (502, "", "Bad Gateway"),
            Self::ServiceUnavailable | Self::Overloaded => {
                (503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
            }
            Self::GatewayTimeout => (504, "", "Gateway Timeout"),
        };
        Face { status, kind, message }
    }

    pub(super) fn anthropic(self) -> Face {
        let (status, kind, message) = match self {
            Self::Validation => (400, "invalid_request_error", "The request is not valid."),
            Self::TooLong => {
                (400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum")
            }
            Self::Credentials => (401, "authentication_error", "invalid x-api-key"),
            Self::AccessDenied => (403, "permission_error", "Your API key may not use this resource."),
            Self::NotFound => (404, "not_found_error", "model: not found"),
            Self::ModelTimeout | Self::GatewayTimeout => (504, "timeout_error", "The request timed out."),
            Self::Throttling | Self::ModelNotReady => {
                (429, "rate_limit_error", "This request would exceed your rate limit.")
            }
            Self::InternalServer | Self::ModelError | Self::ModelStreamError => {
                (500, "api_error", "Internal server error")
            }
            Self::BadGateway => (502, "", "Bad Gateway"),
            Self::ServiceUnavailable => (503, "api_error", "Service unavailable"),
            Self::Overloaded => (529, "overloaded_error", "Overloaded"),
        };
        Face { status, kind, message }
    }

    pub(super) fn openai(self) -> Face {
        let (status, kind, message) = match self {
            Self::Validation => (400, "invalid_value", "The request is not valid."),
            Self::TooLong => {
                (400, "context_length_exceeded", "This model's maximum context length is 128000 tokens.")
            }
            Self::Credentials => (401, "invalid_api_key", "Incorrect API key provided."),
            Self::AccessDenied => (403, "unsupported_country_region_territory", "Not for this account."),
            Self::NotFound => (404, "model_not_found", "The model does not exist or you do not have access."),
            Self::ModelTimeout => (408, "timeout", "The request timed out."),
            Self::Throttling | Self::ModelNotReady => {
                (429, "rate_limit_exceeded", "Rate limit reached for requests.")
            }
            Self::InternalServer | Self::ModelError | Self::ModelStreamError => {
                (500, "server_error", "The server had an error while processing your request.")
            }
            Self::BadGateway => (502, "", "Bad Gateway"),
            Self::ServiceUnavailable | Self::Overloaded => {
                (503, "server_overloaded", "The engine is currently overloaded.")
            }
            Self::GatewayTimeout => (504, "", "Gateway Timeout"),
        };
        Face { status, kind, message }
    }
}
