// SPDX-License-Identifier: Apache-2.0
// With the library's own functions: what openssl(1) would take a process each for.
#include "tests/unit/certificate_maker.h"

#include <openssl/pem.h>

#include <stdexcept>

namespace penstock {
namespace {

void must(bool success) {
  if (!success) throw std::runtime_error("OpenSSL refuses to make a certificate");
}

void set_time(ASN1_TIME* field, sys_seconds time) {
  must(ASN1_TIME_set(field, time.time_since_epoch().count()) != nullptr);
}

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// What `write` writes into a BIO.
template <typename Write>
std::string written(Write write) {
  const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
  must(write(bio.get()) == 1);
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(length)};
}

const unsigned char kPassphrase[] = "secret";
constexpr int kPassphraseLength = sizeof(kPassphrase) - 1;

}  // namespace

OpenSslPtr<EVP_PKEY> make_ecdsa_key(const char* curve) {
  return OpenSslPtr<EVP_PKEY>(EVP_EC_gen(curve));
}

OpenSslPtr<EVP_PKEY> make_rsa_key(unsigned bits) {
  return OpenSslPtr<EVP_PKEY>(EVP_RSA_gen(bits));
}

OpenSslPtr<EVP_PKEY> make_ed25519_key() {
  return OpenSslPtr<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

MadeCertificate make_certificate(const CertificateText& text, OpenSslPtr<EVP_PKEY> key,
                                 const MadeCertificate* issuer) {
  static long serial = 0;
  OpenSslPtr<X509> certificate(X509_new());
  X509* made = certificate.get();
  X509* signer = issuer ? issuer->certificate.get() : made;
  EVP_PKEY* signing_key = issuer ? issuer->key.get() : key.get();
  must(X509_set_version(made, X509_VERSION_3) == 1);
  must(ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial) == 1);
  must(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(text.common_name.c_str()),
                                  -1, -1, 0) == 1);
  must(X509_set_issuer_name(made, X509_get_subject_name(signer)) == 1);
  set_time(X509_getm_notBefore(made), text.begin);
  set_time(X509_getm_notAfter(made), text.end);
  must(X509_set_pubkey(made, key.get()) == 1);
  add_extension(made, signer, NID_basic_constraints,
                text.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add_extension(made, signer, NID_key_usage,
                text.is_authority ? "critical,keyCertSign" : "critical,digitalSignature");
  if (!text.alternatives.empty()) {
    add_extension(made, signer, NID_subject_alt_name, text.alternatives);
  }
  const bool is_ed25519 = EVP_PKEY_get_base_id(signing_key) == EVP_PKEY_ED25519;
  must(X509_sign(made, signing_key, is_ed25519 ? nullptr : EVP_sha256()) > 0);
  return {std::move(certificate), std::move(key)};
}

std::string pem_of(const OpenSslPtr<X509>& certificate) {
  return written([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
}

std::string pem_of(const OpenSslPtr<EVP_PKEY>& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string traditional_pem_of(const OpenSslPtr<EVP_PKEY>& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key.get(), nullptr, nullptr, 0, nullptr,
                                                nullptr);
  });
}

std::string encrypted_pem_of(const OpenSslPtr<EVP_PKEY>& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), EVP_aes_256_cbc(), kPassphrase,
                                    kPassphraseLength, nullptr, nullptr);
  });
}

std::string encrypted_traditional_pem_of(const OpenSslPtr<EVP_PKEY>& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key.get(), EVP_aes_256_cbc(), kPassphrase,
                                                kPassphraseLength, nullptr, nullptr);
  });
}

}  // namespace penstock
