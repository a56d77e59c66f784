// Package providertest is the conformance kit of provider adapters: what the
// contract of providers.Provider says, tested against a simulator of the provider
// (kimisim, glmsim, openaisim), with all the ways in which calls fail. An adapter
// is right when Run passes; its own tests hold only what is peculiar to it.
package providertest

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Remote is what the kit needs of the simulator behind an adapter. Each
// simulator's Server is one.
type Remote interface {
	Files() []simulator.File
	Put(simulator.File) simulator.File
	Forget(id string) bool
	Fail(simulator.Fault)
	Clear()
	Hold(simulator.Point) *simulator.Gate
	Requests(providers.Op) int
	Uploads() int
	LastUpload() simulator.Received
}

// Harness is an adapter under test.
type Harness struct {
	// Open returns an adapter with an empty account, and what stands behind it. It
	// closes both with t.Cleanup: idle connections too, since the kit looks for
	// goroutines that are left.
	Open func(t *testing.T) (providers.Provider, Remote)
	// Processing is Open for a simulator that calls new files unfinished for a few
	// lookups. It must be there where the adapter is a Poller.
	Processing func(t *testing.T) (providers.Provider, Remote)
	// Secrets are the credential and its parts, none of which may show up anywhere.
	Secrets []string
	// Errors is the provider's table, as the simulator has it.
	Errors []simulator.ErrorRow
	// RateLimited is a refusal for too many calls, with a time to wait in the
	// provider's usual way; 0: without.
	RateLimited func(wait time.Duration) simulator.Fault
	// DeletesBlindly: the provider confirms the delete of a file it doesn't know.
	DeletesBlindly bool
	// NoHasMore: lists don't say whether there are more files, so that an adapter may
	// take a repeated page for the end.
	NoHasMore bool
	// ErrorsIn200: the simulator answers errors with status 200.
	ErrorsIn200 bool
}

// Run tests an adapter. No other tests may run meanwhile, since it counts
// goroutines and memory.
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
			"ListPages":                   testListPages,
			"ListStopsEarly":              testListStops,
			"ListFails":                   testListFails,
			"ListOfAPageThatRepeats":      testListRepeats,
			"ListOfEachPurpose":           testListPurposes,
			"OddIDs":                      testOddIDs,
			"Retrieve":                    testRetrieve,
			"Poll":                        testPoll,
			"Text":                        testText,
			"Download":                    testDownload,
			"References":                  testReferences,
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
		t.Errorf("goroutines are left: %v", err)
	}
}

// run is one test's adapter with its simulator.
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
