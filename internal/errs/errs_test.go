package errs_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

func TestLogsSayWhichPlacesAreFaulty(t *testing.T) {
	t.Parallel()
	e := errs.E(errs.Invalid, "tls.not_pem", "TLS cannot be set up.", errs.Detail{Location: "KEYFILE", Message: "is empty."}).With(errors.New("cause"))
	require.EqualError(t, e, "tls.not_pem: TLS cannot be set up. [KEYFILE is empty.]: cause")
	many := errs.E(errs.Invalid, "x", "X.", make([]errs.Detail, 9)...)
	require.EqualError(t, many, "x: X. [ ] [ ] [ ] [ ] [ ] … 4 more")
	require.EqualError(t, errs.E(errs.Invalid, "x", "X."), "x: X.")
}
