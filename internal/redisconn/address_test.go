package redisconn_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/redisconn"
)

func TestParseAcceptsEveryForm(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]redisconn.Address{
		"redis://cache":                   {Kind: redisconn.Single, Hosts: []string{"cache:6379"}, Prefix: "llmctl"},
		"redis://cache:6380/3":            {Kind: redisconn.Single, Hosts: []string{"cache:6380"}, DB: 3, Prefix: "llmctl"},
		"redis://cache?db=3":              {Kind: redisconn.Single, Hosts: []string{"cache:6379"}, DB: 3, Prefix: "llmctl"},
		"redis://:p%40ss@cache/":          {Kind: redisconn.Single, Hosts: []string{"cache:6379"}, Password: "p@ss", Prefix: "llmctl"},
		"redis://ada:a:b@[::1]:7000/1":    {Kind: redisconn.Single, Hosts: []string{"[::1]:7000"}, Username: "ada", Password: "a:b", DB: 1, Prefix: "llmctl"},
		"redis://[::1]":                   {Kind: redisconn.Single, Hosts: []string{"[::1]:6379"}, Prefix: "llmctl"},
		"redis://c?channel_prefix=studio": {Kind: redisconn.Single, Hosts: []string{"c:6379"}, Prefix: "studio"},
		"redis-sentinel://a,b:26380,c/mymaster/2": {
			Kind: redisconn.Sentinel, Hosts: []string{"a:26379", "b:26380", "c:26379"}, Master: "mymaster", DB: 2, Prefix: "llmctl",
		},
		"redis-cluster://:x@a:7000,b:7001": {Kind: redisconn.Cluster, Hosts: []string{"a:7000", "b:7001"}, Password: "x", Prefix: "llmctl"},
	} {
		got, err := redisconn.Parse(address)
		require.NoError(t, err, address)
		require.Equal(t, &want, got, address)
	}
}

func TestParseAcceptsTLSOptions(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"rediss://cache?skip_verify=true", "rediss://cache?ssl_cert_reqs=none", "rediss://cache?ssl_cert_reqs=CERT_REQUIRED",
		"rediss://cache?server_name=other", "redis-cluster://a,b?tls=true&skip_verify=1",
		"redis-sentinel://a/m?tls=yes&sentinel_username=u&sentinel_password=p",
	} {
		_, err := redisconn.Parse(address)
		require.NoError(t, err, address)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(noPEM, []byte("hello"), 0o600))
	for address, want := range map[string]string{
		"cache:6379":                              "must begin with redis://",
		"amqp://cache":                            `scheme "amqp" is none of`,
		"redis://":                                `host "" is not a host name`,
		"redis://a,b":                             "names 2 hosts",
		"redis://cache:0":                         `port "0" of host "cache"`,
		"redis://cache:70000":                     `port "70000"`,
		"redis://::1":                             `host "::1" is not host`,
		"redis://a b":                             `host "a b"`,
		"redis://cache/x":                         `database "x" is not a number`,
		"redis://cache/-1":                        `database "-1"`,
		"redis://cache/1/2":                       "too many parts",
		"redis://:se#cret@cache":                  "write %23",
		"redis://:s%zz@cache":                     "the password has a %",
		"redis://cache?ttl=1":                     `option "ttl" is unknown to redis://; accepted are ca_file`,
		"redis://cache?tls=true":                  `option "tls" is unknown`,
		"redis://cache?db=1&db=2":                 "exactly one value",
		"redis://cache?skip_verify=true":          "TLS options need rediss://",
		"redis-cluster://a?skip_verify=true":      "TLS options need tls=true",
		"rediss://cache?skip_verify=maybe":        `"maybe" is neither true nor false`,
		"rediss://cache?ssl_cert_reqs=optional":   "neither required nor none",
		"rediss://cache?ca_file=/nowhere":         "cannot be read",
		"rediss://cache?ca_file=" + noPEM:         "no certificate in PEM form",
		"rediss://cache?cert_file=/nowhere":       "cert_file and key_file go together",
		"rediss://cache?cert_file=/n&key_file=/n": "client certificate",
		"redis://cache?channel_prefix=a*":         `"a*" is not 1 to 64 letters`,
		"redis-sentinel://a,b":                    "name of the master is missing",
		"redis-sentinel://a/m/1/2":                "too many parts",
		"redis-cluster://a/1":                     "a Redis Cluster has only 0",
		"redis://c?%zz":                           "not name=value pairs",
	} {
		_, err := redisconn.Parse(address)
		require.ErrorContains(t, err, want, address)
		require.NotContains(t, err.Error(), "cret", "a password is shown")
	}
}

func TestChannelsOfDatabasesDiffer(t *testing.T) {
	t.Parallel()
	a, err := redisconn.Parse("redis://:secret@cache/3")
	require.NoError(t, err)
	require.Equal(t, "llmctl:3:bus", a.Channel("bus"))
	require.Equal(t, "redis://cache:6379/3", a.String())
}
