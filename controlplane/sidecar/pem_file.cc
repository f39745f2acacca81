// SPDX-License-Identifier: Apache-2.0
// Block by block rather than with PEM_read_bio_X509 and its like, which skip what they do not want:
// damage and encryption would go unseen.
#include "controlplane/sidecar/pem_file.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <cstring>
#include <optional>

namespace penstock {
namespace {

struct Block {
  std::string type;  // "CERTIFICATE"
  bool is_encrypted = false;
  OpenSslPtr<unsigned char> data;
  long length = 0;

  Block() = default;
  Block(Block&&) = default;
  Block& operator=(Block&&) = default;
  // It may be a key.
  ~Block() {
    if (data) OPENSSL_cleanse(data.get(), static_cast<size_t>(length));
  }
  bool is_key() const { return type.ends_with("PRIVATE KEY"); }
  bool is_certificate() const { return type.ends_with("CERTIFICATE"); }
};

// nullopt: there is none any more, or what stands there is no block (`damaged`).
std::optional<Block> next_block(BIO* bio, bool& damaged) {
  char* type = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  Block block;
  if (PEM_read_bio(bio, &type, &header, &data, &block.length) != 1) {
    damaged = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    ERR_clear_error();
    return std::nullopt;
  }
  block.data.reset(data);
  block.type = type;
  // PKCS 8 says it in its type, the older form in a header.
  block.is_encrypted =
      block.type == "ENCRYPTED PRIVATE KEY" || std::strstr(header, "ENCRYPTED") != nullptr;
  OPENSSL_free(type);
  OPENSSL_free(header);
  return block;
}

tl::unexpected<Error> damaged_at(const std::string& path, size_t number) {
  return fail(ErrorKind::kInvalid,
              fmt::format("{}: the PEM block {} is damaged: copy the file anew from where it was "
                          "issued",
                          path, number));
}

Result<void> take(PemFile& file, const Block& block, const std::string& path, size_t number) {
  const unsigned char* at = block.data.get();
  if (block.is_certificate()) {
    OpenSslPtr<X509> certificate(d2i_X509(nullptr, &at, block.length));
    if (!certificate) return damaged_at(path, number);
    file.chain.push_back(std::move(certificate));
  } else if (block.is_key() && !file.key) {
    if (block.is_encrypted) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("{}: the private key is encrypted, and nobody is there to type a "
                              "passphrase: write it without one (openssl pkey), mode 0600",
                              path));
    }
    file.key.reset(d2i_AutoPrivateKey(nullptr, &at, block.length));
    if (!file.key) return damaged_at(path, number);
  }
  return {};
}

}  // namespace

Result<PemFile> parse_pem(const std::string& path, std::string_view pem) {
  PemFile file;
  const OpenSslPtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  bool damaged = false;
  size_t number = 1;
  while (const auto block = next_block(bio.get(), damaged)) {
    if (const auto taken = take(file, *block, path, number); !taken) {
      ERR_clear_error();
      return tl::unexpected(taken.error());
    }
    number++;
  }
  if (damaged) return damaged_at(path, number);
  if (file.chain.empty()) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{}: there is no certificate in it: put the server's certificate, its "
                            "chain and the private key into it, in PEM",
                            path));
  }
  if (!file.key) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{}: there is no private key in it: append it to the chain "
                            "(cat fullchain.pem privkey.pem)",
                            path));
  }
  return file;
}

}  // namespace penstock
