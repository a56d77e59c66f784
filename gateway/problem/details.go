package problem

// Details is an error answer: the problem details of RFC 9457,
// application/problem+json.
type Details struct {
	Type        string `json:"type" see:"any"`
	Title       string `json:"title" see:"any"`
	Status      int    `json:"status" see:"any"`
	Detail      string `json:"detail,omitempty"`
	Code        Code   `json:"code" see:"any"`
	OperationID string `json:"operation_id,omitempty" see:"any"`
	// TraceID is the id of the trace of the request, where the gateway sends traces.
	TraceID string `json:"trace_id,omitempty" see:"any"`
	// Retryable: the same request may succeed later, unchanged.
	Retryable bool `json:"retryable" see:"any"`
	// RetryAfter is the number of seconds to wait before that; 0 if it is not known.
	RetryAfter int `json:"retry_after,omitempty" see:"any"`
	// The provider's own words, where a provider failed.
	Provider        string `json:"provider,omitempty" see:"any"`
	ProviderCode    string `json:"provider_code,omitempty" see:"any"`
	ProviderMessage string `json:"provider_message,omitempty"`
	// Param names the field or parameter that is wrong. Answers have it in their error
	// object, which has the shape of OpenAI's API.
	Param string `json:"-"`
}

// Details returns the answer with this code.
func (c Code) Details(detail, operationID string) Details {
	r := rows[c]
	return Details{
		Type:        "urn:casgate:problem:" + string(c),
		Title:       r.title,
		Status:      r.status,
		Detail:      detail,
		Code:        c,
		OperationID: operationID,
		Retryable:   r.retryAfter > 0,
		RetryAfter:  r.retryAfter,
	}
}
