// Uses a client made from the description of the API: what the description says of a
// request or an answer must be what the gateway does, or this does not compile or run.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string>; exit(code: number): never };

const client = createClient<paths>({
  baseUrl: process.env.CASGATE_URL,
  headers: { Authorization: `Bearer ${process.env.CASGATE_TOKEN}` },
});

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const text = "Hello from TypeScript";
const uploaded = await client.POST("/v1/blobs", {
  params: { query: { name: "hello.txt" } },
  body: text,
  bodySerializer: (body) => body as BodyInit,
  headers: { "Content-Type": "text/plain" },
});
check(uploaded.response.status === 201 && uploaded.data !== undefined, `upload: ${uploaded.response.status} ${JSON.stringify(uploaded.error)}`);
const digest: components["schemas"]["Digest"] = uploaded.data.digest;

const read = await client.GET("/v1/blobs/{digest}", { params: { path: { digest } }, parseAs: "text" });
check(read.data === text, `read: ${read.data}`);

const meta = await client.GET("/v1/blobs/{digest}/meta", { params: { path: { digest } } });
check(meta.data?.size === text.length && meta.data.name === "hello.txt", `meta: ${JSON.stringify(meta.data)}`);

const file = await client.POST("/v1/files", {
  params: { query: {} },
  body: { digest, filename: "hello.txt", purpose: "user_data" },
});
check(file.data !== undefined, `file: ${JSON.stringify(file.error)}`);
const files = await client.GET("/v1/files", { params: { query: { limit: 10 } } });
check(files.data?.data.some((f) => f.id === file.data?.id) === true, `files: ${JSON.stringify(files.data)}`);

const missing = await client.GET("/v1/blobs/{digest}/meta", { params: { path: { digest: "sha256:" + "0".repeat(64) } } });
check(missing.data === undefined && missing.error?.code === "blob_not_found", `missing: ${JSON.stringify(missing.error)}`);

const providers = await client.GET("/v1/providers");
check(Array.isArray(providers.data?.providers), `providers: ${JSON.stringify(providers.error)}`);
console.log("ok");
