package wiring

import (
	"github.com/prometheus/client_golang/prometheus"

	"casgate/providers"
)

// InstallationMetric is in the metrics of every gateway.
const InstallationMetric = "casgate_installation_info"

// RegisterInstallation exports which installation the gateway belongs to.
func RegisterInstallation(mark providers.Mark, registry prometheus.Registerer) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        InstallationMetric,
		Help:        "Always 1; the label is the same at all gateways of an index, and at no others.",
		ConstLabels: prometheus.Labels{"installation": mark.Hash()},
	})
	info.Set(1)
	registry.MustRegister(info)
}
