// SPDX-License-Identifier: Apache-2.0
// Reading, then the judges in their order, then what is told of a good one.
#include "controlplane/sidecar/certificate.h"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <tuple>

#include "controlplane/config/text_file.h"
#include "controlplane/sidecar/pem_file.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

using Chain = std::vector<OpenSslPtr<X509>>;

tl::unexpected<Error> refuse(const std::string& path, const std::string& message) {
  return fail(ErrorKind::kInvalid, fmt::format("{}: {}", path, message));
}

sys_seconds to_time(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return sys_seconds(std::chrono::seconds(timegm(&parts)));
}

std::string to_text(sys_seconds time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(time.time_since_epoch().count()));
}

std::string to_text(const X509_NAME* name) {
  const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
  // As in RFC 2253, but names beyond ASCII stay readable; control characters are escaped.
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(length)};
}

// Which of the file's: they are told apart by their place, since names may be equal.
std::string which(const Chain& chain, size_t place) {
  if (place == 0) return "the certificate";
  return fmt::format("the chain's certificate {} ({})", place + 1,
                     to_text(X509_get_subject_name(chain[place].get())));
}

bool is_signed_by(X509* certificate, X509* issuer) {
  const bool is_so = X509_check_issued(issuer, certificate) == X509_V_OK &&
                     X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
  ERR_clear_error();
  return is_so;
}

bool belongs_to(const OpenSslPtr<X509>& certificate, EVP_PKEY* key) {
  const bool is_so = X509_check_private_key(certificate.get(), key) == 1;
  ERR_clear_error();
  return is_so;
}

Result<void> judge_key(const std::string& path, const PemFile& file) {
  const Chain& chain = file.chain;
  if (belongs_to(chain[0], file.key.get())) return {};
  for (size_t place = 1; place < chain.size(); place++) {
    if (!belongs_to(chain[place], file.key.get())) continue;
    return refuse(path, fmt::format("the chain is out of order: the private key is that of "
                                    "certificate {}: put that one first, then the one that signed "
                                    "it, and so on",
                                    place + 1));
  }
  return refuse(path,
                "the private key does not belong to the certificate: put the key into it that the "
                "certificate was requested with");
}

Result<void> judge_chain(const std::string& path, const Chain& chain) {
  for (size_t place = 0; place + 1 < chain.size(); place++) {
    X509* certificate = chain[place].get();
    if (is_signed_by(certificate, chain[place + 1].get())) continue;
    const bool out_of_order = std::any_of(chain.begin(), chain.end(), [&](const auto& other) {
      return other.get() != certificate && is_signed_by(certificate, other.get());
    });
    if (out_of_order) {
      return refuse(path, fmt::format("the chain is out of order: {} is not followed by the one "
                                      "that signed it: sort them",
                                      which(chain, place)));
    }
    return refuse(path, fmt::format("{} is not signed by {}: put the intermediate there whose name "
                                    "is {}",
                                    which(chain, place), which(chain, place + 1),
                                    to_text(X509_get_issuer_name(certificate))));
  }
  return {};
}

Result<void> judge_times(const std::string& path, const Chain& chain, sys_seconds now) {
  for (size_t place = 0; place < chain.size(); place++) {
    const auto begin = to_time(X509_get0_notBefore(chain[place].get()));
    const auto end = to_time(X509_get0_notAfter(chain[place].get()));
    if (now < begin) {
      return refuse(path, fmt::format("{} is not valid before {}: check this machine's clock, or "
                                      "use it then",
                                      which(chain, place), to_text(begin)));
    }
    if (now > end) {
      return refuse(path, fmt::format("{} expired at {}: {}", which(chain, place), to_text(end),
                                      place == 0 ? "renew it" : "fetch the chain anew"));
    }
  }
  return {};
}

// As it is, but for bytes that would break a line or a terminal: names come from whoever made the
// request for it.
std::string printable(const ASN1_STRING* string) {
  const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(string));
  std::string text(data, static_cast<size_t>(ASN1_STRING_length(string)));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "?";
  return inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
}

std::vector<std::string> common_name(X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (place < 0) return {};
  return {printable(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)))};
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  const OpenSslPtr<GENERAL_NAMES> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); i++) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type == GEN_DNS) names.push_back(printable(name->d.dNSName));
    if (name->type == GEN_IPADD) names.push_back(address_text(name->d.iPAddress));
  }
  return names.empty() ? common_name(certificate) : names;
}

std::string key_type_of(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    return fmt::format("RSA {}", EVP_PKEY_get_bits(key));
  }
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
    const int id = EVP_PKEY_get_base_id(key);
    return id == EVP_PKEY_ED25519 ? "Ed25519" : OBJ_nid2sn(id);
  }
  std::array<char, 64> group{};
  EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr);
  const char* nist = EC_curve_nid2nist(OBJ_sn2nid(group.data()));  // prime256v1 is P-256
  return fmt::format("ECDSA {}", nist ? nist : group.data());
}

std::string fingerprint_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  X509_digest(certificate, EVP_sha256(), digest.data(), &length);
  return fmt::format("{:02X}", fmt::join(digest.begin(), digest.begin() + length, ":"));
}

bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace

int64_t Certificate::days_left(sys_seconds now) const {
  return std::chrono::floor<std::chrono::days>(not_after - now).count();
}

Result<Certificate> parse_certificate(const std::string& path, std::string_view pem,
                                      std::optional<sys_seconds> now) {
  const auto file = parse_pem(path, pem);
  if (!file) return tl::unexpected(file.error());
  const auto judged =
      judge_key(path, *file).and_then([&] { return judge_chain(path, file->chain); }).and_then([&] {
        return now ? judge_times(path, file->chain, *now) : Result<void>{};
      });
  if (!judged) return tl::unexpected(judged.error());
  X509* own = file->chain[0].get();
  Certificate certificate;
  certificate.path = path;
  certificate.names = names_of(own);
  certificate.key_type = key_type_of(file->key.get());
  certificate.not_before = to_time(X509_get0_notBefore(own));
  certificate.not_after = to_time(X509_get0_notAfter(own));
  certificate.fingerprint = fingerprint_of(own);
  certificate.issuer = to_text(X509_get_issuer_name(own));
  certificate.is_self_signed = X509_self_signed(own, 1) == 1;
  return certificate;
}

Result<Certificate> read_certificate(const std::string& path, std::optional<sys_seconds> now) {
  auto text = read_text_file(path);
  if (!text) {
    return refuse(path, fmt::format("cannot be read: {}: name a PEM file that is there and that "
                                    "penstock may read",
                                    text.error().message()));
  }
  auto certificate = parse_certificate(path, *text, now);
  OPENSSL_cleanse(text->data(), text->size());
  if (certificate) certificate->has_ocsp_response = is_there(path + ".ocsp");
  return certificate;
}

Result<std::vector<Certificate>> read_certificates(const std::string& path,
                                                   std::optional<sys_seconds> now) {
  std::vector<std::string> files{path};
  const std::string rsa = path + ".rsa";
  const std::string ecdsa = path + ".ecdsa";
  if (!is_there(path) && is_there(rsa) != is_there(ecdsa)) {
    const auto& [here, missing] = is_there(rsa) ? std::tie(rsa, ecdsa) : std::tie(ecdsa, rsa);
    return refuse(missing,
                  fmt::format("is not there, but {} is: put both there, or name the one", here));
  }
  if (!is_there(path) && is_there(rsa)) files = {rsa, ecdsa};
  std::vector<Certificate> certificates;
  for (const std::string& file : files) {
    auto certificate = read_certificate(file, now);
    if (!certificate) return tl::unexpected(certificate.error());
    certificates.push_back(std::move(*certificate));
  }
  return certificates;
}

}  // namespace penstock
