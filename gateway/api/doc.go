// Package api has the JSON types of the gateway's HTTP contract. The server and the Go
// client share them.
package api
