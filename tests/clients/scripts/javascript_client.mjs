// What test_javascript.py runs: `node javascript_client.mjs FUNCTION ENDPOINT BUCKET`.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

// The packages lie in .tools, not beside this file.
const require = createRequire(`${process.env.PACKAGES}/package.json`);
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const MIB = 1024 * 1024;
const SIZES = [0, 1, 4096, 5 * MIB + 1, 20 * MIB];

// As docs/clients.md shows, but with one try.
function connect(endpoint) {
  return new s3.S3Client({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "alice", secretAccessKey: "anything" },
    forcePathStyle: true,
    maxAttempts: 1,
  });
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

// A stream whose length nobody is told, in pieces of odd sizes.
const streamOf = (bytes) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += 77_777) yield bytes.subarray(at, at + 77_777);
    })(),
    { objectMode: false },
  );

async function contents(client, Bucket, Key, more = {}) {
  const answer = await client.send(new s3.GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from(await answer.Body.transformToByteArray());
}

const tests = {
  // Objects can be put, described, got whole and by range, copied and deleted.
  async objects(endpoint, Bucket) {
    const client = connect(endpoint);
    for (const size of SIZES) {
      const body = randomBytes(size);
      const Key = `dir/${size} é+`;
      const put = await client.send(new s3.PutObjectCommand({ Bucket, Key, Body: body, Metadata: { owner: "alice" } }));
      const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
      assert.deepEqual([head.ContentLength, head.ETag, head.Metadata], [size, put.ETag, { owner: "alice" }]);
      assert.equal(digest(await contents(client, Bucket, Key)), digest(body));
      if (size > 100) assert.deepEqual(await contents(client, Bucket, Key, { Range: "bytes=10-19" }), body.subarray(10, 20));
      await client.send(
        new s3.CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/${encodeURIComponent(Key)}` }),
      );
      assert.equal(digest(await contents(client, Bucket, "copy")), digest(body));
    }
    await client.send(new s3.DeleteObjectCommand({ Bucket, Key: "copy" }));
    await assert.rejects(contents(client, Bucket, "copy"), s3.NoSuchKey);
  },

  // A stream with a known length goes up in chunks with the checksum behind them; every algorithm that the SDK knows is taken.
  async streams(endpoint, Bucket) {
    const client = connect(endpoint);
    for (const size of SIZES) {
      const body = randomBytes(size);
      await client.send(new s3.PutObjectCommand({ Bucket, Key: "k", Body: streamOf(body), ContentLength: size }));
      assert.equal(digest(await contents(client, Bucket, "k")), digest(body));
    }
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
      const body = randomBytes(123_456);
      const put = new s3.PutObjectCommand({
        Bucket,
        Key: "k",
        Body: streamOf(body),
        ContentLength: body.length,
        ChecksumAlgorithm,
        ContentEncoding: "gzip",
      });
      await client.send(put);
      const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: "k", ChecksumMode: "ENABLED" }));
      assert.ok(head[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm);
      assert.equal(head.ContentEncoding, "gzip");
      assert.equal(digest(await contents(client, Bucket, "k", { ChecksumMode: "ENABLED" })), digest(body));
    }
  },

  // lib-storage uploads a stream of unknown length, in one request or in parts, as its length turns out.
  async uploads(endpoint, Bucket) {
    const client = connect(endpoint);
    for (const size of SIZES) {
      const body = randomBytes(size);
      const upload = new Upload({ client, params: { Bucket, Key: `up/${size}`, Body: streamOf(body), ContentType: "text/csv" } });
      await upload.done();
      assert.equal(digest(await contents(client, Bucket, `up/${size}`)), digest(body));
    }
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: `up/${20 * MIB}` }));
    assert.equal(head.ContentType, "text/csv");
    assert.match(head.ETag, /-[04]"$/); // how many parts, or 0 from a store whose ETags are of versions
  },

  // Presigned URLs upload and download; the presigner moves metadata, tags and checksums from the headers into the query.
  async presigned(endpoint, Bucket) {
    const client = connect(endpoint);
    const Key = "dir/a b+é";
    const body = randomBytes(5 * MIB + 1);
    const put = new s3.PutObjectCommand({
      Bucket,
      Key,
      Metadata: { owner: "alice" },
      Tagging: "team=a%20b",
      ChecksumSHA256: createHash("sha256").update(body).digest("base64"),
    });
    const answer = await fetch(await getSignedUrl(client, put, { expiresIn: 60 }), { method: "PUT", body });
    assert.equal(answer.status, 200, await answer.text());
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    assert.deepEqual([head.Metadata, head.TagCount], [{ owner: "alice" }, 1]);
    assert.equal(head.ChecksumSHA256, createHash("sha256").update(body).digest("base64"));
    const get = new s3.GetObjectCommand({ Bucket, Key, ResponseContentType: "text/csv" });
    const got = await fetch(await getSignedUrl(client, get, { expiresIn: 60 }));
    assert.equal(got.headers.get("content-type"), "text/csv");
    assert.equal(digest(Buffer.from(await got.arrayBuffer())), digest(body));
    // The same URL for other bytes: its checksum gives them away.
    const wrong = await fetch(await getSignedUrl(client, put, { expiresIn: 60 }), { method: "PUT", body: "other" });
    assert.equal(wrong.status, 400);
    assert.match(await wrong.text(), /<Code>BadDigest<\/Code>/);
  },

  // Listings come in pages, buckets can be made and removed, and many objects deleted at once.
  async listings(endpoint, bucket) {
    const client = connect(endpoint);
    const Bucket = `${bucket}-two`;
    await client.send(new s3.CreateBucketCommand({ Bucket }));
    await s3.waitUntilBucketExists({ client, maxWaitTime: 10 }, { Bucket });
    const keys = ["a b", "a&<>", "a+b", "é", "日本"];
    for (const Key of keys) await client.send(new s3.PutObjectCommand({ Bucket, Key, Body: "x" }));
    const found = [];
    for await (const page of s3.paginateListObjectsV2({ client, pageSize: 2 }, { Bucket })) {
      found.push(...page.Contents.map((entry) => entry.Key));
    }
    const order = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));
    assert.deepEqual(found, keys.toSorted(order));
    const gone = await client.send(
      new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }),
    );
    assert.equal(gone.Deleted.length, keys.length);
    await client.send(new s3.DeleteBucketCommand({ Bucket }));
    const { Buckets } = await client.send(new s3.ListBucketsCommand({}));
    assert.ok(!Buckets.some((entry) => entry.Name === Bucket));
  },
};

const [name, ...rest] = process.argv.slice(2);
await tests[name](...rest);
