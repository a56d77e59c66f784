// Package chatbody reads the JSON of a request to a model, finds the parts that name or
// contain files, and puts others in their place. All bytes outside the replaced parts stay
// as they are: providers cache prompts by the literal text of a request, and a client's
// numbers, names and order of members are its own.
//
// It knows no provider. A Format says as data where in a request things stand, so that
// another request needs a table and no code.
package chatbody

import (
	"strings"
	"sync"
)

// Format says where in a request things stand. A path has the names of members, and * for
// each element of a list, with slashes between.
type Format struct {
	// Model is the path of the model's name.
	Model string
	// Message is the path of a message. Its role and its tool calls stand in members called
	// role and tool_calls.
	Message string
	// Part is the path, below that of a message, of the elements that may be parts.
	Part string
	// Types are the types of parts that may name a file.
	Types []PartType

	once sync.Once
	root *node // all paths, once they are needed
}

// PartType is a type of parts.
type PartType struct {
	// Type is the value of the member type.
	Type    string
	Sources []Source
}

// Source is a string within a part that says something of a file.
type Source struct {
	// Path is the path within the part, of one name or two.
	Path    string
	Meaning Meaning
}

// Meaning is what the string of a Source is.
type Meaning int

// The meanings.
const (
	FileID   Meaning = iota + 1 // the id of a file
	FileData                    // the bytes of a file: base64, or a data: URL
	FileName                    // the name of the bytes
	URL                         // a URL, which may be a data: URL
)

// ChatCompletions is the format of POST /chat/completions.
var ChatCompletions = Format{
	Model: "model", Message: "messages/*", Part: "content/*",
	Types: []PartType{
		// DeepSeek and Mistral have the id without the object around it.
		{"file", []Source{{"file/file_id", FileID}, {"file_id", FileID}, {"file/file_data", FileData}, {"file/filename", FileName}}},
		// Moonshot also takes the URL without the object around it.
		{"image_url", []Source{{"image_url/url", URL}, {"image_url", URL}}},
		{"video_url", []Source{{"video_url/url", URL}, {"video_url", URL}}},
		{"file_url", []Source{{"file_url/url", URL}, {"file_url", URL}}},
	},
}

// typeOf returns the rule for parts of a type.
func (f *Format) typeOf(name string) (PartType, bool) {
	for _, t := range f.Types {
		if t.Type == name {
			return t, true
		}
	}
	return PartType{}, false
}

// isCarrier reports whether a member of a part carries sources: it is, or contains, one.
func (t PartType) isCarrier(member string) bool {
	for _, s := range t.Sources {
		if first, _, _ := strings.Cut(s.Path, "/"); first == member {
			return true
		}
	}
	return false
}

// isSource reports whether there is a source at a path.
func (t PartType) isSource(path string) bool {
	for _, s := range t.Sources {
		if s.Path == path {
			return true
		}
	}
	return false
}

// node is a step of the paths of a Format.
type node struct {
	members map[string]*node
	element *node // of a list
	is      mark
}

// mark says what stands at a node.
type mark int

const (
	markModel mark = iota + 1
	markMessage
	markRole
	markToolCalls
	markPart
)

// tree returns the paths of the format as a tree.
func (f *Format) tree() *node {
	f.once.Do(func() {
		f.root = &node{}
		f.root.at(f.Model).is = markModel
		message := f.root.at(f.Message)
		message.is = markMessage
		message.at("role").is = markRole
		message.at("tool_calls").is = markToolCalls
		message.at(f.Part).is = markPart
	})
	return f.root
}

// at returns the node at a path below n, which it makes if it is missing.
func (n *node) at(path string) *node {
	for name := range strings.SplitSeq(path, "/") {
		next := n.element
		if name != "*" {
			next = n.members[name]
		}
		if next == nil {
			next = &node{}
			if name == "*" {
				n.element = next
			} else {
				if n.members == nil {
					n.members = map[string]*node{}
				}
				n.members[name] = next
			}
		}
		n = next
	}
	return n
}
