package request

// KeyHeaders carry a token where there is no field Authorization: the SDKs of
// Anthropic and of Azure send their keys in them.
var KeyHeaders = []string{"X-Api-Key", "Api-Key"}
