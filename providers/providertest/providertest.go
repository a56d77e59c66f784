// Package providertest is the conformance kit of provider adapters. It tests the contract
// of providers.Provider with a simulator of the provider (kimisim, glmsim, openaisim),
// and with all kinds of failures. An adapter is correct if Run passes. Its own tests need
// only cover what is special about the provider.
package providertest

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Remote has the controls of a simulator that the kit needs. Each simulator's Server
// implements it.
type Remote interface {
	Files() []simulator.RemoteFile
	Put(simulator.RemoteFile) simulator.RemoteFile
	Forget(id string) bool
	Fail(simulator.Fault)
	Delay(simulator.Lateness)
	Deny(n int, d simulator.Denial)
	Clear()
	EditLists(...simulator.ListEdit)
	Hold(simulator.Point) *simulator.Gate
	Requests(providers.Op) int
	Uploads() int
	LastUpload() simulator.Received
}

// Harness is an adapter under test.
type Harness struct {
	// Open returns an adapter with an empty account, and its simulator. It closes both with
	// t.Cleanup, including idle connections, since the kit checks for leaked goroutines.
	Open func(t *testing.T) (providers.Provider, Remote)
	// Processing is Open for a simulator whose new files are unfinished for a few lookups.
	// It is required if the adapter is a Poller.
	Processing func(t *testing.T) (providers.Provider, Remote)
	// Text is Open for a simulator that extracts this text from every document, and answers
	// in this charset, declared or not. It is required if the adapter is a TextExtractor.
	Text func(t *testing.T, text TextAnswer) (providers.Provider, Remote)
	// Secrets are the credential and its parts. None may be visible anywhere.
	Secrets []string
	// Errors is the simulator's table of the provider's errors.
	Errors []simulator.ErrorRow
	// RateLimited is a refusal because of the rate limit, with the wait in the provider's
	// usual form. A wait of 0 means none.
	RateLimited func(wait time.Duration) simulator.Fault
	// DeletesBlindly: the provider confirms the delete of a file it doesn't know.
	DeletesBlindly bool
	// NoHasMore: lists don't say whether there are more files, so an adapter may treat a
	// repeated page as the end.
	NoHasMore bool
	// ErrorsIn200: the simulator answers errors with status 200.
	ErrorsIn200 bool
	// NoPurposes: files have no purposes at the provider, and uploads name none.
	NoPurposes bool
	// ForbiddenInNames are characters that the provider accepts in no name.
	ForbiddenInNames string
	// PlainUploads: the body of an upload is the file alone, and not a form.
	PlainUploads bool
	// EmptyObjects: an empty JSON object confirms a delete, and is a list without files.
	EmptyObjects bool
	// ReturnsGenerated: the provider returns the bytes of files that it made itself, and of
	// no others.
	ReturnsGenerated bool
}

// TextAnswer describes a simulator's answer to a request for a text.
type TextAnswer struct {
	Text string
	// Charset is its name in HTML, such as gbk. Undeclared: the answer doesn't say it.
	Charset    string
	Undeclared bool
}

// Run tests an adapter. No other test may run at the same time, since it counts goroutines
// and memory.
func Run(t *testing.T, h Harness) {
	before := goleak.IgnoreCurrent()
	t.Run("Bounded", func(t *testing.T) { // one after the other: they measure memory
		h.run(t, false, map[string]func(*testing.T, *run){
			"LargeUploadIsStreamed": testLargeUpload,
			"EndlessAnswers":        testEndlessAnswers,
		})
	})
	t.Run("Contract", func(t *testing.T) {
		h.run(t, true, map[string]func(*testing.T, *run){
			"Description":                 testDescription,
			"RoundTripOfEachPurpose":      testRoundTrip,
			"Names":                       testNames,
			"NamesThatBreakForms":         testEvilNames,
			"UnknownPurpose":              testUnknownPurpose,
			"Parallel":                    testParallel,
			"FormHasLengthAndOrder":       testForm,
			"ContentFailsMidway":          testContentFails,
			"ContentOfWrongLength":        testContentLength,
			"ContentCannotBeOpened":       testOpenFails,
			"DeleteTwice":                 testDeleteTwice,
			"DeleteAfterLostReply":        testDeleteAfterLostReply,
			"DeleteThatDeletesNothing":    testDeniedDelete,
			"FileIsSeenLate":              testLateFile,
			"ListPages":                   testListPages,
			"ListStopsEarly":              testListStops,
			"ListFails":                   testListFails,
			"ListOfAPageThatRepeats":      testListRepeats,
			"ListOfEachPurpose":           testListPurposes,
			"ListWithoutSizes":            testListWithoutSizes,
			"ListWithOtherPurposes":       testListWithOtherPurposes,
			"OddIDs":                      testOddIDs,
			"Retrieve":                    testRetrieve,
			"Poll":                        testPoll,
			"Text":                        testText,
			"TextCharsets":                testTextCharsets,
			"NoText":                      testNoText,
			"Download":                    testDownload,
			"References":                  testReferences,
			"Chat":                        testChat,
			"ChatWithCopies":              testChatWithCopies,
			"CancelledBefore":             testCancelledBefore,
			"CancelledUpload":             testCancelledUpload,
			"CancelledContent":            testCancelledContent,
			"CancelledCalls":              testCancelledCalls,
			"TimeOuts":                    testTimeOuts,
			"UploadsOfUnknownOutcome":     testUnknownOutcomes,
			"CallsWithoutSense":           testSenselessAnswers,
			"ErrorTable":                  testErrorTable,
			"ErrorsIn200":                 testErrorsIn200,
			"RateLimits":                  testRateLimits,
			"SecretsInAnswers":            testSecrets,
			"LongMessages":                testLongMessages,
			"RedirectsDoNotGetCredential": testRedirects,
		})
	})
	if err := goleak.Find(before); err != nil {
		t.Errorf("goroutines were leaked: %v", err)
	}
}

// run is an adapter with its simulator for one test.
type run struct {
	Harness
	providers.Provider
	remote      Remote
	description providers.Description
}

func (h Harness) run(t *testing.T, parallel bool, tests map[string]func(*testing.T, *run)) {
	names := make([]string, 0, len(tests))
	for name := range tests {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if parallel {
				t.Parallel()
			}
			tests[name](t, h.open(t))
		})
	}
}

func (h Harness) open(t *testing.T) *run {
	p, remote := h.Open(t)
	return &run{h, p, remote, p.Describe()}
}
