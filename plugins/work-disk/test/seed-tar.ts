import { pack, type Header } from "tar-stream";

export type Member = Partial<Header> & { name: string; content?: string };

/** A tar with these members, as bytes; members may be as wrong as the test wants. */
export async function seedTar(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { content, ...header } of members)
    archive.entry(header, content ?? "");
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive as AsyncIterable<Uint8Array>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}
