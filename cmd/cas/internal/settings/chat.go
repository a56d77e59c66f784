package settings

import "time"

// Chat says how a gateway passes on requests to models.
type Chat struct {
	ChatMode    Switch        `name:"chat" env:"CAS_CHAT" default:"on" enum:"on,off" help:"off removes the routes of requests to models, and the routes under /kimi and /glm."`
	ModelsFile  string        `name:"models-file" env:"CAS_MODELS_FILE" help:"JSON file with further names of models, such as {\"aliases\":{\"gpt-4o\":\"kimi/kimi-k2.6\"}}." placeholder:"FILE"`
	ChatInline  string        `name:"chat-inline" env:"CAS_CHAT_INLINE" default:"store" enum:"store,pass" help:"Files within a request (data: URLs, file_data): store keeps them and sends references, pass leaves them where the provider takes them so."`
	ChatKeep    time.Duration `name:"chat-keep" env:"CAS_CHAT_KEEP" default:"720h" help:"How long files that came within requests are kept after their last use; at least 1h."`
	ChatTimeout time.Duration `name:"chat-timeout" env:"CAS_CHAT_TIMEOUT" default:"10m" help:"How long a provider may take until its answer begins."`
	ChatMaxBody ByteSize      `name:"chat-max-body" env:"CAS_CHAT_MAX_BODY" default:"64MiB" help:"Size of the largest request to a model." placeholder:"SIZE"`
	ChatMemory  ByteSize      `name:"chat-memory" env:"CAS_CHAT_MEMORY" default:"512MiB" help:"Memory for the requests to models under way; further ones get 503." placeholder:"SIZE"`
}
