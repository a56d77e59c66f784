package access

import "testing"

func TestIsLocalHost(t *testing.T) {
	for field, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8080": true, "[::1]:8080": true, "[::1]": true, "localhost": true, "LOCALHOST:1": true,
		"localhost.": true, "app.localhost:8080": true, "10.0.0.5:8081": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example:8080": false,
		"": false, ":8080": false, "evillocalhost": false, "127.1:8080": false,
	} {
		if got := IsLocalHost(field); got != want {
			t.Errorf("%q: %t", field, got)
		}
	}
}
