// The conformance suite imports fs.globSync, which Node has since version 22, for a part of it
// that is not used here. Debian's Node is older.
import { register } from "node:module";

const fs = `export * from "node:fs"; export { default } from "node:fs"; export const globSync = () => { throw new Error("fs.globSync is not there"); };`;
const hooks = `
export async function resolve(specifier, context, next) {
  if (specifier === "fs" && context.parentURL?.includes("/conformance/")) {
    return { url: "data:text/javascript," + encodeURIComponent(${JSON.stringify(fs)}), shortCircuit: true };
  }
  return next(specifier, context);
}`;
register("data:text/javascript," + encodeURIComponent(hooks));
