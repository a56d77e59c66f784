package copyapi

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

func TestCopiesAreWrittenAsEncodingJSONWould(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{`a"b\c`, "<&>", "\u2028", "\xff", "文件", "\x7f"}))
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		micros := rapid.Int64Range(1, 4e15).Draw(t, "micros")
		return time.UnixMicro(micros).In(time.FixedZone("somewhere", rapid.IntRange(-43200, 43200).Draw(t, "zone")))
	})
	rapid.Check(t, func(t *rapid.T) {
		c := ledger.Copy{
			Key: ledger.Key{
				Digest: cas.DigestOf([]byte(text.Draw(t, "blob"))), Provider: text.Draw(t, "provider"),
				Account: rapid.OneOf(text, rapid.Just("simulated-x")).Draw(t, "account"), Purpose: text.Draw(t, "purpose"), Extension: text.Draw(t, "extension"),
			},
			State: ledger.StateReady, FileID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Size: rapid.Int64Min(0).Draw(t, "size"),
			Attempts: rapid.IntMin(0).Draw(t, "attempts"), OperationID: text.Draw(t, "operation"),
			CreatedAt: moment.Draw(t, "created"), ReadyAt: moment.Draw(t, "ready"), LastUsedAt: moment.Draw(t, "used"),
			ExpiresAt: moment.Draw(t, "expires"), NextAttemptAt: moment.Draw(t, "next"),
		}
		created := rapid.Bool().Draw(t, "made")
		answer := view.Copy(c)
		answer.Created = &created
		var want bytes.Buffer
		if err := json.NewEncoder(&want).Encode(answer); err != nil {
			t.Fatal(err)
		}
		if got := appendCopy(nil, &c, created); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("got  %s\nwant %s", got, want.Bytes())
		}
	})
}
