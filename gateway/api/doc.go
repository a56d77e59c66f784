// Package api has the JSON types of the gateway's HTTP contract. The server and the Go
// client share them.
package api

// HeaderProblemCode carries the code of a problem in an answer to HEAD, which has no body.
const HeaderProblemCode = "X-Problem-Code"
