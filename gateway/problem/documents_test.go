package problem

import (
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// The contract lists exactly the codes of the table.
func TestOpenAPIListsTheCodes(t *testing.T) {
	t.Parallel()
	contract, err := openapi3.NewLoader().LoadFromFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var listed []Code
	for _, value := range contract.Components.Schemas["Code"].Value.Enum {
		listed = append(listed, Code(value.(string)))
	}
	for _, code := range Codes() {
		if !slices.Contains(listed, code) {
			t.Errorf("openapi.yaml doesn't list %s", code)
		}
	}
	for _, code := range listed {
		if !code.Known() {
			t.Errorf("openapi.yaml lists %s, and the table doesn't have it", code)
		}
	}
}
