package api

// Model is a model of a provider, in the form of OpenAI's API.
type Model struct {
	// ID is what requests name: provider/model, or an alias.
	ID      string `json:"id" see:"any"`
	Object  string `json:"object" see:"any"` // ObjectModel
	Created int64  `json:"created" see:"any"`
	// OwnedBy is the provider.
	OwnedBy string `json:"owned_by" see:"any"`
}

// ObjectModel is the Object of a Model.
const ObjectModel = "model"

// ModelList is the answer of GET /v1/models.
type ModelList struct {
	Object string  `json:"object" see:"any"` // list
	Data   []Model `json:"data" see:"any"`
}
