package settings

// Traces says where the spans of OpenTelemetry go. The variables are those of its SDKs.
type Traces struct {
	OTLPEndpoint       string `name:"otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"Base URL of a collector of OpenTelemetry, such as http://127.0.0.1:4318. The gateway then sends traces there. The other variables of OpenTelemetry's SDKs count too, such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS." placeholder:"URL"`
	OTLPTracesEndpoint string `name:"otlp-traces-endpoint" env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" help:"Whole URL for traces, such as http://127.0.0.1:4318/v1/traces, in place of the base URL." placeholder:"URL"`
	OTLPProtocol       string `name:"otlp-protocol" env:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" enum:"http/protobuf,grpc" help:"How traces are sent: http/protobuf or grpc. OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, if it is set, wins over the variable."`
	ServiceName        string `name:"otel-service-name" env:"OTEL_SERVICE_NAME" help:"Name of the gateway in traces; casgate if empty." placeholder:"NAME"`
}
