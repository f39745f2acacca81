// SPDX-License-Identifier: Apache-2.0
// Keys and certificates that are made when a test runs.
#pragma once

#include <chrono>
#include <string>

#include "controlplane/sidecar/openssl.h"

namespace penstock {

using std::chrono::sys_seconds;

// What a certificate says of itself.
struct CertificateText {
  std::string common_name = "example.com";
  std::string alternatives;  // "DNS:example.com,IP:192.0.2.1"; empty: none
  sys_seconds begin;
  sys_seconds end;
  bool is_authority = false;
};

struct MadeCertificate {
  OpenSslPtr<X509> certificate;
  OpenSslPtr<EVP_PKEY> key;
};

OpenSslPtr<EVP_PKEY> make_ecdsa_key(const char* curve = "P-256");
OpenSslPtr<EVP_PKEY> make_rsa_key(unsigned bits = 2048);
OpenSslPtr<EVP_PKEY> make_ed25519_key();

// Signed by `issuer`, or by itself.
MadeCertificate make_certificate(const CertificateText& text, OpenSslPtr<EVP_PKEY> key,
                                 const MadeCertificate* issuer = nullptr);

std::string pem_of(const OpenSslPtr<X509>& certificate);
std::string pem_of(const OpenSslPtr<EVP_PKEY>& key);
std::string traditional_pem_of(const OpenSslPtr<EVP_PKEY>& key);
// With a passphrase: PKCS 8, or the older form that has it in a header.
std::string encrypted_pem_of(const OpenSslPtr<EVP_PKEY>& key);
std::string encrypted_traditional_pem_of(const OpenSslPtr<EVP_PKEY>& key);

}  // namespace penstock
